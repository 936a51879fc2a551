import type { RelayEvent } from '../../shared/event.ts'
import { formatPosition, type Position } from '../../shared/position.ts'
import { formatDelivery } from '../../shared/webhook/delivery.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import type { PlannedJob, Subscriber } from './match.ts'

/** The type of the event that tells of an endpoint which the relay turned off. */
const disabledType = 'relay.endpoint.disabled'

/**
 * Plans the deliveries that tell of an endpoint which the relay turned off, to the webhooks of the same owner whose
 * filter names the event's type. The event is in no log: it is about the relay, and what subscribers of the log read is the cluster.
 * @param position the dispatcher's: where the event stands between those of the log.
 */
export function planAnnouncement(
  cluster: string,
  { id, disabledReason, disabledAt = '', description, owner }: Webhook,
  subscribers: Iterable<Subscriber>,
  position: Position,
  now: number,
): PlannedJob[] {
  const event: RelayEvent = {
    specversion: '1.0',
    id: `${cluster}/relay/${id}/disabled-${Date.parse(disabledAt)}`,
    source: `/clusters/${cluster}/relay/webhooks`,
    type: disabledType,
    subject: id,
    time: disabledAt,
    datacontenttype: 'application/json',
    data: {
      webhook: id,
      reason: disabledReason,
      ...(description === undefined ? {} : { description }),
      changes: [{ type: 'disabled', to: disabledReason }],
    },
  }
  const { seq } = position
  const epoch = `d${Date.parse(disabledAt).toString(36)}${id.slice(-6)}`
  const own = formatPosition({ epoch, seq })
  const record = formatDelivery({
    state: 'pending',
    event: event.id,
    acceptedAt: now,
    group: seq.toString(36),
    body: JSON.stringify(event),
    cursor: formatPosition(position),
    attempts: [],
  })
  const jobs: PlannedJob[] = []
  for (const { id: webhook, wantsRelay, tenant } of subscribers) {
    if (!wantsRelay?.test(event.type) || tenant !== owner?.tenant) continue
    const job = { webhook, epoch, group: seq.toString(36), attempt: 0, seqs: [seq] }
    jobs.push({ job, deliveries: [{ seq, id: own, record }] })
  }
  return jobs
}
