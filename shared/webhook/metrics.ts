import type { Keys } from '../keys.ts'
import { parsePosition } from '../position.ts'
import { createScript, type RedisClient, toRecord } from '../redis.ts'
import type { Attempt, Delivery } from './delivery.ts'
import { type DeliveryState, deliveryStates, parseDelivery } from './delivery.ts'
import { queueName } from './job.ts'
import { createWebhookKeys } from './keys.ts'

/** Upper bounds of the buckets that attempts are counted in by how long they took, in ms; what took longer is in none. */
export const latencyBuckets: readonly number[] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 15_000]

/** `delivered`, or the class of the error. */
export type Outcome = 'delivered' | NonNullable<Attempt['error']>

/** How attempts of one outcome went. */
export interface AttemptCounts {
  outcome: string
  count: number
  /** Of all latencies, in ms. */
  sum: number
  /** How many took no longer than each of `latencyBuckets`. */
  upTo: number[]
}

/** What a webhook's ledger holds right now. */
export interface LedgerGauge {
  webhook: string
  counts: Record<'accepted' | DeliveryState, number>
  /** When the oldest of those that wait was accepted, ms since 1970. */
  oldest?: number
}

/** What Redis says about deliveries, for all processes. */
export interface DeliveryMetrics {
  attempts(): Promise<AttemptCounts[]>
  ledgers(webhooks: readonly string[]): Promise<LedgerGauge[]>
  /** Jobs by where they are. */
  queue(): Promise<Record<'waiting' | 'active' | 'delayed' | 'failed', number>>
  /** The last log entry that was dispatched; undefined before the first. */
  dispatched(): Promise<number | undefined>
}

/** What a delivery's last attempts add to the counts in Redis, by field; see `DeliveryMetrics.attempts`. */
export function countAttempts(settlements: readonly { before: Delivery; after: Delivery }[]): Map<string, number> {
  const counts = new Map<string, number>()
  const add = (field: string, increment: number) => counts.set(field, (counts.get(field) ?? 0) + increment)
  for (const { before, after } of settlements) {
    for (const { error = 'delivered', latencyMs } of after.attempts.slice(before.attempts.length)) {
      const bucket = latencyBuckets.find((most) => latencyMs <= most) ?? 'more'
      add(`${error} ${bucket}`, 1)
      if (latencyMs > 0) add(`${error} sum`, latencyMs)
    }
  }
  return counts
}

/** KEYS counts, pending, records. Answers how many are pending, the oldest ones' records, and the fields of the hash. */
const gaugeScript = createScript(`
local oldest = redis.call('ZRANGE', KEYS[2], 0, 15)
local records = #oldest > 0 and redis.call('HMGET', KEYS[3], unpack(oldest)) or {}
return {redis.call('ZCARD', KEYS[2]), records, redis.call('HGETALL', KEYS[1])}
`)

/** Creates a reader of what the deliverers of one cluster count. */
export function createDeliveryMetrics(redis: RedisClient, clusterKeys: Keys): DeliveryMetrics {
  const keys = createWebhookKeys(clusterKeys)
  const gauge = async (webhook: string): Promise<LedgerGauge> => {
    const { counts, states, records } = keys.ledger(webhook)
    const answer = await gaugeScript.run(redis, [counts, states.pending, records], [])
    const [pending, stored, flat] = answer as [number, (string | null)[], string[]]
    const ended = toRecord(flat)
    const names = ['accepted', ...deliveryStates] as const
    const all = Object.fromEntries(names.map((name) => [name, Number(ended[name] ?? 0)]))
    // Those that wait stand by the place of their event; a repetition of an old one may be younger than its neighbour.
    const oldest = Math.min(...stored.flatMap((text) => (text === null ? [] : parseDelivery(text).acceptedAt)))
    return {
      webhook,
      counts: { ...all, pending } as LedgerGauge['counts'],
      ...(Number.isFinite(oldest) ? { oldest } : {}),
    }
  }
  return {
    async attempts() {
      const fields = toRecord(await redis.call('HGETALL', keys.metrics))
      const outcomes = new Set(Object.keys(fields).map((field) => field.slice(0, field.indexOf(' '))))
      return [...outcomes].sort().map((outcome) => {
        const read = (name: string | number) => Number(fields[`${outcome} ${name}`] ?? 0)
        let count = 0
        const upTo = latencyBuckets.map((most) => (count += read(most)))
        return { outcome, count: count + read('more'), sum: read('sum'), upTo }
      })
    },
    ledgers: (webhooks) => Promise.all(webhooks.map(gauge)),
    async queue() {
      const at = (list: string) => `${keys.queue}:${queueName}:${list}`
      const [waiting, active, delayed, failed] = await Promise.all([
        redis.call('LLEN', at('wait')),
        redis.call('LLEN', at('active')),
        redis.call('ZCARD', at('delayed')),
        redis.call('ZCARD', at('failed')),
      ])
      return { waiting: Number(waiting), active: Number(active), delayed: Number(delayed), failed: Number(failed) }
    },
    async dispatched() {
      const position = await redis.call('HGET', keys.dispatch, 'position')
      return typeof position === 'string' ? parsePosition(position).seq : undefined
    },
  }
}
