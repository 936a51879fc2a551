import type { Keys } from '../../shared/keys.ts'
import { parsePosition } from '../../shared/position.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { type Delivery, parseDelivery } from '../../shared/webhook/delivery.ts'
import { type DeliveryJob, maxJobSize } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'

/** How long a delivery may be due before its job is looked after, in ms. */
const patience = 2 * 60_000
/** The oldest pending deliveries of a webhook that one sweep looks at. */
const reach = 10_000
const pageSize = 500

/**
 * Finds the jobs of deliveries that should have been attempted by now. Adding them again is harmless where they exist, and
 * the remedy where somebody emptied the queue.
 * @param now ms since 1970.
 */
export async function findOverdue(
  redis: RedisClient,
  clusterKeys: Keys,
  webhooks: Iterable<string>,
  now: number,
): Promise<DeliveryJob[]> {
  const keys = createWebhookKeys(clusterKeys)
  const jobs: DeliveryJob[] = []
  for (const webhook of webhooks) {
    const { records, states } = keys.ledger(webhook)
    const ids = (await redis.call('ZRANGE', states.pending, 0, reach - 1)) as string[]
    const overdue: { id: string; delivery: Delivery }[] = []
    for (let i = 0; i < ids.length; i += pageSize) {
      const page = ids.slice(i, i + pageSize)
      const stored = (await redis.call('HMGET', records, ...page)) as (string | null)[]
      for (const [n, id] of page.entries()) {
        const text = stored[n]
        const delivery = text ? parseDelivery(text) : undefined
        if (delivery !== undefined && isOverdue(delivery, now)) overdue.push({ id, delivery })
      }
    }
    jobs.push(...groupIntoJobs(webhook, overdue))
  }
  return jobs
}

/** Puts deliveries back into the jobs that they belong to. */
export function groupIntoJobs(webhook: string, deliveries: readonly { id: string; delivery: Delivery }[]) {
  const jobs = new Map<string, DeliveryJob>()
  for (const { id, delivery } of deliveries) {
    const { epoch, seq } = parsePosition(id)
    const { group, attempts } = delivery
    const name = `${epoch} ${group} ${attempts.length}`
    const job = jobs.get(name) ?? { webhook, epoch, group, attempt: attempts.length, seqs: [] }
    if (job.seqs.length < maxJobSize) job.seqs.push(seq)
    jobs.set(name, job)
  }
  return [...jobs.values()]
}

function isOverdue({ state, due, acceptedAt }: Delivery, now: number): boolean {
  return state === 'pending' && (due ?? acceptedAt) < now - patience
}
