import type { Change } from '../../shared/event.ts'
import type { EndedTerm, LeaseData, OpenTerm, TermEnd, TermStart } from '../../shared/lease.ts'
import type { KubeObject } from '../kube/object.ts'
import {
  asNumber,
  asObject,
  asString,
  compareLabels,
  type Moment,
  type Normalizer,
  type Outcome,
  readMeta,
} from './normalizer.ts'

/** Turns Leases into events and terms. The relay's clock decides; the holder's times are only passed on (clock skew). */
export const leaseNormalizer: Normalizer<LeaseData> = {
  kind: 'lease',
  read: readLease,
  follow: (old, next, moment) => (old === undefined ? meet(next, moment) : compare(old, next, moment)),
  end(old, last, moment) {
    const data: LeaseData = { ...old, ...last, expired: old.expired }
    return { data, changes: compareLabels(old, last), isEvent: true, ...endTerm(old, 'deleted', moment) }
  },
  lifetime(data) {
    const { holder, expired, durationSeconds } = data
    return holder === null || expired || durationSeconds === undefined || durationSeconds <= 0
      ? undefined
      : durationSeconds * 1000
  },
  expire(old, moment) {
    const { term: _, ...rest } = old
    const data: LeaseData = { ...rest, expired: true, leaderlessSince: timeOf(moment) }
    return { data, changes: [{ type: 'expired', from: old.holder }], isEvent: true, ...endTerm(old, 'expired', moment) }
  },
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
  for (const [name, value] of Object.entries(optional)) if (value !== undefined) data[name] = value
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
  }
}

function compare(old: LeaseData, next: LeaseData, moment: Moment): Outcome<LeaseData> {
  const labels = compareLabels(old, next)
  if (next.holder === null) return lose(old, next, labels, moment)
  if (old.holder === next.holder && !old.expired) return renew(old, next, labels, moment)
  const leaderless = secondsSince(old.leaderlessSince, moment)
  const kind = old.holder === null ? 'acquired' : old.holder === next.holder ? 'reacquired' : 'transferred'
  const change: Change = { type: kind, ...(kind === 'transferred' ? { from: old.holder } : {}), to: next.holder }
  if (leaderless !== undefined) change.leaderlessSeconds = leaderless
  const term = beginTerm(next.holder, next, kind, moment)
  if (leaderless !== undefined) term.leaderlessSeconds = leaderless
  const previous = old.holder === next.holder || old.holder === null ? old.previousHolder : old.holder
  const data: LeaseData = { ...next, renewed: timeOf(moment), term }
  if (previous !== undefined) data.previousHolder = previous
  return { data, changes: [change, ...labels], isEvent: true, ...endTerm(old, 'transferred', moment) }
}

function lose(old: LeaseData, next: LeaseData, labels: Change[], moment: Moment): Outcome<LeaseData> {
  const previous = old.holder ?? old.previousHolder
  const data: LeaseData = { ...next, leaderlessSince: old.leaderlessSince ?? timeOf(moment) }
  if (previous !== undefined) data.previousHolder = previous
  const released: Change[] = old.holder === null ? [] : [{ type: 'released', from: old.holder }]
  return { data, changes: [...released, ...labels], isEvent: true, ...endTerm(old, 'released', moment) }
}

/** The same holder, in time. A new renewTime alone is no event: a large cluster has thousands of them a second. */
function renew(old: LeaseData, next: LeaseData, labels: Change[], moment: Moment): Outcome<LeaseData> {
  const isRenewal = old.renewTime !== next.renewTime
  const data: LeaseData = { ...next }
  const renewed = isRenewal ? timeOf(moment) : old.renewed
  if (renewed !== undefined) data.renewed = renewed
  if (old.previousHolder !== undefined) data.previousHolder = old.previousHolder
  if (old.term !== undefined) data.term = { ...old.term, renewals: old.term.renewals + (isRenewal ? 1 : 0) }
  return { data, changes: labels, isEvent: !isRenewal || labels.length > 0 }
}

function beginTerm(holder: string, lease: LeaseData, began: TermStart, moment: Moment): OpenTerm {
  const from = began === 'observed' ? (lease.acquireTime ?? timeOf(moment)) : timeOf(moment)
  const term: OpenTerm = { holder, from, began, renewals: 0 }
  if (lease.transitions !== undefined) term.transitions = lease.transitions
  return term
}

/** The term that was running until now; none when the Lease had expired or been released before. */
function endTerm(old: LeaseData, ended: TermEnd, moment: Moment): { endedTerm?: EndedTerm } {
  return old.term === undefined ? {} : { endedTerm: { ...old.term, to: timeOf(moment), ended } }
}

function timeOf(moment: Moment): string {
  return new Date(moment.now).toISOString()
}

function secondsSince(time: string | undefined, moment: Moment): number | undefined {
  return time === undefined ? undefined : Math.max(0, (moment.now - Date.parse(time)) / 1000)
}
