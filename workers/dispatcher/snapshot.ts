import { createHash } from 'node:crypto'
import type { ObjectData } from '../../shared/event.ts'
import type { Filter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import { formatPosition } from '../../shared/position.ts'
import { nameResource } from '../../shared/resource.ts'
import type { StateReader } from '../../shared/state.ts'
import { type NamedResource, selectResources, toStateEvent } from '../../shared/state-event.ts'
import { formatDelivery } from '../../shared/webhook/delivery.ts'
import { maxJobSize } from '../../shared/webhook/job.ts'
import { lineMember, lineOf } from '../../shared/webhook/line.ts'
import { type SnapshotProgress, snapshotEpoch, toSnapshotId } from '../../shared/webhook/snapshot.ts'
import type { PlannedJob, Subscriber } from './match.ts'

/** A part of the known set whose objects may match. */
interface Scope {
  resource: NamedResource
  /** Its name, and what all its keys begin with. */
  name: string
  prefix: string
  namespace?: string
}

/** How a webhook that starts with the state is told it. */
export interface SnapshotPlan {
  /** The parts that it is told, in the order of their keys. */
  scopes: readonly Scope[]
  /** Names the filter: what was told by another one does not count. */
  filter: string
  /** The webhook's record that the plan is made from. */
  record: string
}

/** A page of current objects: the deliveries that it adds, and where the telling is after it; undefined: all was told. */
export interface SnapshotStep {
  jobs: PlannedJob[]
  /** Objects that changed since the webhook's start, with the entry that what was told includes. */
  changed: [object: string, seq: number][]
  told: number
  until: number
  next: SnapshotProgress | undefined
  /** The filter is another one: all begins anew, and what was told before is forgotten. */
  isAnew?: boolean
}

const pageSize = 200
const nothing: SnapshotPlan = { scopes: [], filter: '-', record: '' }

/** Plans how to tell the current objects of some resources to the webhook of a record. */
export function planSnapshot(record: string, resources: readonly NamedResource[], filter: Filter): SnapshotPlan {
  const name = createHash('sha256').update(JSON.stringify(filter)).digest('base64url').slice(0, 16)
  return { scopes: planScopes(resources, filter), filter: name, record }
}

function planScopes(resources: readonly NamedResource[], filter: Filter): Scope[] {
  const scopes = selectResources(resources, filter.resource).flatMap((resource): Scope[] => {
    const name = nameResource(resource)
    const namespaces = listExact(filter.namespace)
    if (namespaces === undefined) return [{ resource, name, prefix: '' }]
    return [...new Set(namespaces)].map((namespace) => ({ resource, name, prefix: `${namespace}/`, namespace }))
  })
  return scopes.sort((a, b) => compare(a.name, b.name) || compare(a.prefix, b.prefix))
}

/**
 * Reads the next page. The pages are of different moments, all after the webhook's start: what an object's page included is
 * not to be told again. Their deliveries carry the event itself, since no log has it. After a change of the filter the first
 * page is an empty one that begins anew, under numbers that go on.
 * @param now ms since 1970.
 */
export async function readSnapshot(
  deps: { state: StateReader; cluster: string; now: number },
  { id: webhook, snapshot = nothing, matches, start, isOrdered }: Subscriber,
  before: SnapshotProgress | undefined,
): Promise<SnapshotStep> {
  const { state, cluster, now } = deps
  const jobs: PlannedJob[] = []
  const changed: SnapshotStep['changed'] = []
  let { told, until } = before ?? { told: 0, until: start.seq }
  const { scopes, filter } = snapshot
  if (before !== undefined && before.filter !== filter) {
    return { jobs, changed, told, until, next: { told, until, filter, resource: '', key: '' }, isAnew: true }
  }
  const place = scopes.findIndex((scope) => before === undefined || isAhead(scope, before))
  const scope = scopes[place]
  if (scope === undefined) return { jobs, changed, told, until, next: undefined }
  const isWithin = before?.resource === scope.name && before.key.startsWith(scope.prefix)
  const page = await state.page<ObjectData>(scope.name, {
    limit: pageSize,
    ...(scope.namespace === undefined ? {} : { namespace: scope.namespace }),
    ...(isWithin ? { after: before.key } : {}),
  })
  const time = new Date(now).toISOString()
  let planned: PlannedJob | undefined
  for (const { seq, data } of page.objects) {
    const event = toStateEvent(cluster, scope.resource, data, time)
    if (matches(event) === undefined) continue
    const number = ++told
    const object = lineOf(event)
    if (seq > start.seq) changed.push([object, seq])
    until = Math.max(until, seq)
    if (planned === undefined || planned.deliveries.length === maxJobSize) {
      const job = { webhook, epoch: snapshotEpoch, group: number.toString(36), attempt: 0, seqs: [] }
      planned = { job, deliveries: [] }
      jobs.push(planned)
    }
    const delivery = {
      state: 'pending' as const,
      event: event.id,
      acceptedAt: now,
      group: planned.job.group,
      ...(isOrdered ? { object } : {}),
      cursor: formatPosition(start),
      body: JSON.stringify(event),
      attempts: [],
    }
    const own = toSnapshotId(number)
    const inLine = isOrdered ? { place: lineMember(delivery, own) } : {}
    planned.job.seqs.push(number)
    planned.deliveries.push({ seq: number, id: own, record: formatDelivery(delivery), ...inLine })
  }
  // Where this part ends, the next one begins: behind all keys that it may have.
  const key = page.next ?? `${scope.prefix}\u{10ffff}`
  const isLast = page.next === undefined && place === scopes.length - 1
  return { jobs, changed, told, until, next: isLast ? undefined : { told, until, filter, resource: scope.name, key } }
}

/** Whether a part holds keys behind what was told. */
function isAhead({ name, prefix }: Scope, { resource, key }: SnapshotProgress): boolean {
  if (name !== resource) return name > resource
  return prefix === '' ? !key.startsWith('\u{10ffff}') : compare(prefix, key) > 0 || isInside(prefix, key)
}

function isInside(prefix: string, key: string): boolean {
  return key.startsWith(prefix) && key !== `${prefix}\u{10ffff}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
