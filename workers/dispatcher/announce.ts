import type { RelayEvent } from '../../shared/event.ts'
import { formatPosition, type Position } from '../../shared/position.ts'
import { formatDelivery } from '../../shared/webhook/delivery.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import type { PlannedJob, Subscriber } from './match.ts'

/** The type of the event that tells of an endpoint which the relay turned off. */
const disabledType = 'relay.endpoint.disabled'
/** And of one that fell so far behind that the log dropped events before they could be matched. */
const overtakenType = 'relay.endpoint.overtaken'

/** Something about an endpoint that its owner is told. */
interface News {
  webhook: string
  tenant: string | undefined
  type: string
  /** Names it among the news of this webhook: a letter, and when it was, ms since 1970. */
  kind: string
  at: number
  data: RelayEvent['data']
}

/** Plans the deliveries that tell of an endpoint which the relay turned off. */
export function planAnnouncement(
  cluster: string,
  { id, disabledReason, disabledAt = '', description, owner }: Webhook,
  subscribers: Iterable<Subscriber>,
  position: Position,
  now: number,
): PlannedJob[] {
  const data = {
    webhook: id,
    reason: disabledReason,
    ...(description === undefined ? {} : { description }),
    changes: [{ type: 'disabled', to: disabledReason }],
  }
  const at = Date.parse(disabledAt)
  const news = { webhook: id, tenant: owner?.tenant, type: disabledType, kind: 'disabled', at, data }
  return planNews(cluster, news, subscribers, position, now)
}

/**
 * Plans the deliveries that tell of an endpoint which retention overtook.
 * @param lost.from cursors: the events after the first, up to the second, were dropped, but for those in between that were seen.
 * @param lost.since ms since 1970.
 */
export function planOvertaken(
  cluster: string,
  { id, tenant }: { id: string; tenant: string | undefined },
  { events, from, to, since }: { events: number; from: string | undefined; to: string | undefined; since: number },
  subscribers: Iterable<Subscriber>,
  position: Position,
  now: number,
): PlannedJob[] {
  const lost = { events, from, to, since: new Date(since).toISOString() }
  const data = { webhook: id, lost, changes: [{ type: 'overtaken', count: events }] }
  const news = { webhook: id, tenant, type: overtakenType, kind: 'overtaken', at: now, data }
  return planNews(cluster, news, subscribers, position, now)
}

/**
 * Plans the deliveries that tell the webhooks of the same owner whose filter names the event's type. The event is in no log:
 * it is about the relay, and what subscribers of the log read is the cluster.
 * @param position the dispatcher's: where the event stands between those of the log.
 */
function planNews(
  cluster: string,
  { webhook: about, tenant, type, kind, at, data }: News,
  subscribers: Iterable<Subscriber>,
  position: Position,
  now: number,
): PlannedJob[] {
  const event: RelayEvent = {
    specversion: '1.0',
    id: `${cluster}/relay/${about}/${kind}-${at}`,
    source: `/clusters/${cluster}/relay/webhooks`,
    type,
    subject: about,
    time: new Date(at).toISOString(),
    datacontenttype: 'application/json',
    data,
  }
  const { seq } = position
  const epoch = `${kind.charAt(0)}${at.toString(36)}${about.slice(-6)}`
  const own = formatPosition({ epoch, seq })
  const group = seq.toString(36)
  const record = formatDelivery({
    state: 'pending',
    event: event.id,
    acceptedAt: now,
    group,
    body: JSON.stringify(event),
    cursor: formatPosition(position),
    attempts: [],
  })
  const jobs: PlannedJob[] = []
  for (const { id: webhook, wantsRelay, tenant: owner } of subscribers) {
    if (!wantsRelay?.test(type) || owner !== tenant) continue
    const job = { webhook, epoch, group, attempt: 0, seqs: [seq] }
    jobs.push({ job, deliveries: [{ seq, id: own, record }] })
  }
  return jobs
}
