import type { Change } from '../../shared/event.ts'
import {
  type EndedTerm,
  type LeaseData,
  lifetimeOf,
  type OpenTerm,
  type TermEnd,
  type TermStart,
} from '../../shared/lease.ts'
import { formatTime } from '../clock.ts'
import type { KubeObject } from '../kube/object.ts'
import {
  addPresent,
  asNumber,
  asObject,
  asString,
  compareLabels,
  type Moment,
  type Normalizer,
  type Outcome,
  readMeta,
} from './normalizer.ts'

/** Where a renewal goes: only into the current state, or into the log as well, as an event. */
export type Renewals = 'state' | 'log'

/** Turns Leases into events and terms. The relay's clock decides; the holder's times are only passed on (clock skew). */
export function createLeaseNormalizer(renewals: Renewals = 'state'): Normalizer<LeaseData> {
  return {
    kind: 'lease',
    read: readLease,
    follow: (old, next, moment) => (old === undefined ? meet(next, moment) : compare(old, next, moment, renewals)),
    end(old, last, moment) {
      const data: LeaseData = { ...old, ...last, expired: old.expired }
      return { data, changes: compareLabels(old, last), isEvent: true, ...endTerm(old, 'deleted', moment) }
    },
    lifetime: (data) => (data.expired ? undefined : lifetimeOf(data)),
    expire(old, moment) {
      const { term: _, ...rest } = old
      const data: LeaseData = { ...rest, expired: true, leaderlessSince: timeOf(moment) }
      const changes: Change[] = [{ type: 'expired', from: old.holder }]
      return { data, changes, isEvent: true, ...endTerm(old, 'expired', moment) }
    },
  }
}

function readLease(object: KubeObject): LeaseData {
  const spec = asObject(object.spec)
  const data: LeaseData = { ...readMeta(object), holder: asString(spec.holderIdentity) ?? null, expired: false }
  const optional = {
    durationSeconds: asNumber(spec.leaseDurationSeconds),
    acquireTime: asString(spec.acquireTime),
    renewTime: asString(spec.renewTime),
    transitions: asNumber(spec.leaseTransitions),
    strategy: asString(spec.strategy),
    preferredHolder: asString(spec.preferredHolder),
  }
  addPresent(data, optional)
  return data
}

function meet(next: LeaseData, moment: Moment): Outcome<LeaseData> {
  const { holder } = next
  if (holder === null) return { data: next, changes: [], isEvent: true }
  const began: TermStart = moment.isFirstSync ? 'observed' : 'acquired'
  return {
    data: { ...next, renewed: timeOf(moment), term: beginTerm(holder, next, began, moment) },
    changes: [{ type: 'acquired', to: holder }],
    isEvent: true,
    begunBy: holder,
  }
}

function compare(old: LeaseData, next: LeaseData, moment: Moment, renewals: Renewals): Outcome<LeaseData> {
  const labels = compareLabels(old, next)
  const { holder } = next
  if (holder === null) return lose(old, next, labels, moment)
  const isSame = old.holder === holder
  const isUnbroken = isSame && !((next.transitions ?? 0) > (old.transitions ?? Number.POSITIVE_INFINITY))
  if (isUnbroken && (!old.expired || isUntouched(old, next))) return renew(old, next, labels, moment, renewals)
  const leaderless = secondsSince(old.leaderlessSince, moment)
  const kind = old.holder === null ? 'acquired' : isSame ? 'reacquired' : 'transferred'
  const change: Change = { type: kind, ...(kind === 'transferred' ? { from: old.holder } : {}), to: holder }
  if (leaderless !== undefined) change.leaderlessSeconds = leaderless
  const term = beginTerm(holder, next, kind, moment)
  if (leaderless !== undefined) term.leaderlessSeconds = leaderless
  const previous = isSame || old.holder === null ? old.previousHolder : old.holder
  const data: LeaseData = { ...next, renewed: timeOf(moment), term }
  if (previous !== undefined) data.previousHolder = previous
  const ended = endTerm(old, isSame ? 'unseen' : 'transferred', moment)
  return { data, changes: [change, ...labels], isEvent: true, ...ended, begunBy: holder }
}

function lose(old: LeaseData, next: LeaseData, labels: Change[], moment: Moment): Outcome<LeaseData> {
  const previous = old.holder ?? old.previousHolder
  const data: LeaseData = { ...next, leaderlessSince: old.leaderlessSince ?? timeOf(moment) }
  if (previous !== undefined) data.previousHolder = previous
  const released: Change[] = old.holder === null ? [] : [{ type: 'released', from: old.holder }]
  return { data, changes: [...released, ...labels], isEvent: true, ...endTerm(old, 'released', moment) }
}

/** The same holder goes on. A new renewTime alone is no event: a large cluster has thousands of them a second. */
function renew(
  old: LeaseData,
  next: LeaseData,
  labels: Change[],
  moment: Moment,
  renewals: Renewals,
): Outcome<LeaseData> {
  const isRenewal = old.renewTime !== next.renewTime
  const isUntouchedOnly = isUntouched(old, next)
  const data: LeaseData = { ...next, expired: old.expired }
  const renewed = isUntouchedOnly ? old.renewed : timeOf(moment)
  if (renewed !== undefined) data.renewed = renewed
  if (old.previousHolder !== undefined) data.previousHolder = old.previousHolder
  if (old.leaderlessSince !== undefined) data.leaderlessSince = old.leaderlessSince
  if (old.term !== undefined) data.term = { ...old.term, renewals: old.term.renewals + (isRenewal ? 1 : 0) }
  const isLogged = isRenewal && renewals === 'log'
  const renewal: Change[] = isLogged
    ? [{ type: 'renewed', from: old.renewTime ?? null, to: next.renewTime ?? null }]
    : []
  return {
    data,
    changes: [...renewal, ...labels],
    isEvent: !isRenewal || isLogged || labels.length > 0,
    ...(isUntouchedOnly ? { keepsLife: true as const } : {}),
  }
}

/** True where nothing of the election moved: somebody else wrote labels, say. What client-go compares to see a holder alive. */
function isUntouched(old: LeaseData, next: LeaseData): boolean {
  return (
    old.renewTime === next.renewTime &&
    old.durationSeconds === next.durationSeconds &&
    old.acquireTime === next.acquireTime &&
    old.transitions === next.transitions
  )
}

function beginTerm(holder: string, lease: LeaseData, began: TermStart, moment: Moment): OpenTerm {
  const from = began === 'observed' ? (lease.acquireTime ?? timeOf(moment)) : timeOf(moment)
  const term: OpenTerm = { holder, from, began, renewals: 0 }
  if (lease.transitions !== undefined) term.transitions = lease.transitions
  return term
}

/** The term that was running until now; none when the Lease had expired or been released before. */
function endTerm(old: LeaseData, ended: TermEnd, moment: Moment): { endedTerm?: EndedTerm } {
  const { namespace, name, term } = old
  return term === undefined ? {} : { endedTerm: { namespace, name, ...term, to: timeOf(moment), ended } }
}

function timeOf(moment: Moment): string {
  return formatTime(moment.now)
}

function secondsSince(time: string | undefined, moment: Moment): number | undefined {
  return time === undefined ? undefined : Math.max(0, (moment.now - Date.parse(time)) / 1000)
}
