import { deliveryStates } from '../../shared/webhook/delivery.ts'
import type { HealthStore } from '../../shared/webhook/health.ts'
import type { LossReader } from '../../shared/webhook/loss.ts'
import { type DeliveryMetrics, latencyBuckets } from '../../shared/webhook/metrics.ts'
import type { WebhookStore } from '../../shared/webhook/store.ts'
import type { Family, Sample } from './exposition.ts'

/** What webhooks were sent, and what waits. Names webhooks by id alone: a URL may hold a secret. */
export async function measureDeliveries(
  deps: { store: WebhookStore; health: HealthStore; losses: LossReader; metrics: DeliveryMetrics },
  now: number,
): Promise<Family[]> {
  const { store, health, losses, metrics } = deps
  const webhooks = await store.all()
  const ids = webhooks.map(({ id }) => id)
  const [ledgers, lost, attempts, queue, conditions] = await Promise.all([
    metrics.ledgers(ids),
    losses.of(ids),
    metrics.attempts(),
    metrics.queue(),
    health.all(),
  ])
  const ends = deliveryStates.filter((state) => state !== 'pending')
  const seconds = (ms: number) => Math.max(0, ms) / 1000
  return [
    {
      name: 'relay_webhook_enabled',
      type: 'gauge',
      help: 'Whether a webhook is enabled.',
      samples: webhooks.map(({ id, enabled }) => ({ labels: { webhook: id }, value: enabled ? 1 : 0 })),
    },
    {
      name: 'relay_webhook_failing_seconds',
      type: 'gauge',
      help: 'For how long a webhook has taken nothing, while attempts fail.',
      samples: webhooks.flatMap(({ id }): Sample[] => {
        const since = conditions.get(id)?.failingSince
        return since === undefined ? [] : [{ labels: { webhook: id }, value: seconds(now - since) }]
      }),
    },
    {
      name: 'relay_webhook_accepted_total',
      type: 'counter',
      help: 'Deliveries that were accepted for a webhook.',
      samples: ledgers.map(({ webhook, counts }) => ({ labels: { webhook }, value: counts.accepted })),
    },
    {
      name: 'relay_webhook_deliveries_total',
      type: 'counter',
      help: 'Deliveries that came to an end, by which.',
      samples: ledgers.flatMap(({ webhook, counts }) =>
        ends.map((state) => ({ labels: { webhook, outcome: state }, value: counts[state] })),
      ),
    },
    {
      name: 'relay_webhook_lost_events_total',
      type: 'counter',
      help: 'Events that the log dropped before the filter of a webhook saw them.',
      samples: ids.map((webhook) => ({ labels: { webhook }, value: lost.get(webhook)?.events ?? 0 })),
    },
    {
      name: 'relay_webhook_pending',
      type: 'gauge',
      help: 'Deliveries that wait for their first attempt or the next one.',
      samples: ledgers.map(({ webhook, counts }) => ({ labels: { webhook }, value: counts.pending })),
    },
    {
      name: 'relay_webhook_oldest_pending_seconds',
      type: 'gauge',
      help: 'How long the oldest delivery of a webhook waits; 0 when none does.',
      samples: ledgers.map(({ webhook, oldest = now }) => ({ labels: { webhook }, value: seconds(now - oldest) })),
    },
    {
      name: 'relay_webhook_attempt_duration_seconds',
      type: 'histogram',
      help: 'How long attempts took, from before the name was resolved to the end of the answer, by how they went.',
      samples: attempts.flatMap(({ outcome, count, sum, upTo }): Sample[] => [
        ...upTo.map((value, n): Sample => {
          const le = String((latencyBuckets[n] ?? 0) / 1000)
          return { labels: { outcome, le }, value, suffix: '_bucket' }
        }),
        { labels: { outcome, le: '+Inf' }, value: count, suffix: '_bucket' },
        { labels: { outcome }, value: sum / 1000, suffix: '_sum' },
        { labels: { outcome }, value: count, suffix: '_count' },
      ]),
    },
    {
      name: 'relay_delivery_queue_jobs',
      type: 'gauge',
      help: 'Jobs in the delivery queue, each of up to 64 deliveries.',
      samples: Object.entries(queue).map(([state, value]) => ({ labels: { state }, value })),
    },
  ]
}
