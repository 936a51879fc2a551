import type { Keys } from '../keys.ts'
import { parsePosition } from '../position.ts'
import type { RedisClient } from '../redis.ts'
import { type Delivery, formatDelivery } from './delivery.ts'
import { type DeliveryJob, jobId } from './job.ts'
import { createWebhookKeys } from './keys.ts'
import { lineMember } from './line.ts'
import { addScript } from './scripts.ts'

/**
 * Adds one delivery beside those that the dispatcher accepts, such as a test; it is sent as soon as the dispatcher notices.
 * @param id tells it from all others of its webhook, in the form of a cursor.
 * @returns false where there is no such webhook.
 */
export async function addDelivery(
  redis: RedisClient,
  clusterKeys: Keys,
  webhook: string,
  id: string,
  delivery: Delivery,
): Promise<boolean> {
  const keys = createWebhookKeys(clusterKeys)
  const { epoch, seq } = parsePosition(id)
  const job: DeliveryJob = { webhook, epoch, group: delivery.group, attempt: 0, seqs: [seq] }
  const { records, counts, lines, states } = keys.ledger(webhook)
  const touched = [keys.webhooks, keys.version, keys.outbox, records, states.pending, counts, lines]
  const place = lineMember(delivery, id)
  const args = [webhook, jobId(job), JSON.stringify(job), seq, id, formatDelivery(delivery), place]
  return (await addScript.run(redis, touched, args)) === 1
}

/** Makes up the first half of the id of such a delivery: `kind`, a letter, and 12 characters of [0-9a-z]. */
export function createAdditionEpoch(kind: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12))
  return kind + Array.from(bytes, (byte) => (byte % 36).toString(36)).join('')
}
