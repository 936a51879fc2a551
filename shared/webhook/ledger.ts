import { formatCursor, parseCursor } from '../cursor.ts'
import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { type Delivery, type DeliveryState, deliveryStates, formatDelivery, parseDelivery } from './delivery.ts'
import type { DeliveryJob } from './job.ts'
import { createWebhookKeys } from './keys.ts'
import { loadScript, settleScript } from './scripts.ts'

/** A delivery with its id: the cursor of its event, unique within its webhook. */
export interface ListedDelivery extends Delivery {
  id: string
}

export interface LoadedJob {
  /** The webhook's record as stored; undefined when it was deleted. */
  webhook: string | undefined
  deliveries: LoadedDelivery[]
}

export interface LoadedDelivery {
  id: string
  seq: number
  /** Undefined when it is no longer kept. */
  delivery: Delivery | undefined
  /** The event's JSON as the log has it; undefined when the log no longer has it, or the delivery is not pending. */
  event: string | undefined
}

/** A delivery's next state, to be recorded. */
export interface Settlement {
  webhook: string
  id: string
  seq: number
  /** What `deliveryHeader` gave for the delivery as it was read. */
  header: string
  delivery: Delivery
}

/** What became of every accepted pair of event and webhook. */
export interface Ledger {
  /** All that a job needs, in one round trip. */
  load(job: DeliveryJob): Promise<LoadedJob>
  /** Records next states in one round trip. True for each that was still as it was read. */
  settle(settlements: readonly Settlement[]): Promise<boolean[]>
  /** Newest events first. `before` is the id of the last delivery of the previous page. */
  list(webhook: string, options: { state?: DeliveryState; before?: string; limit: number }): Promise<ListedDelivery[]>
  /** How many were ever accepted and came to each end; `pending` is what waits now. */
  counts(webhook: string): Promise<Record<'accepted' | DeliveryState, number>>
}

/** Creates the ledger. Of each webhook and end state the newest `keep` deliveries are kept, of pending ones all. */
export function createLedger(redis: RedisClient, clusterKeys: Keys, keep = 10_000): Ledger {
  const keys = createWebhookKeys(clusterKeys)
  return {
    async load(job) {
      const ids = job.seqs.map((seq) => formatCursor({ epoch: job.epoch, seq }))
      const args: (string | number)[] = [job.webhook]
      for (const [n, seq] of job.seqs.entries()) args.push(ids[n] ?? '', seq)
      const touched = [keys.webhooks, keys.ledger(job.webhook).records, clusterKeys.log]
      const [webhook, ...flat] = (await loadScript.run(redis, touched, args)) as string[]
      const deliveries = job.seqs.map((seq, n): LoadedDelivery => {
        const [stored, event] = [flat[2 * n], flat[2 * n + 1]]
        const delivery = stored ? parseDelivery(stored) : undefined
        return { id: ids[n] ?? '', seq, delivery, event: event || undefined }
      })
      return { webhook: webhook || undefined, deliveries }
    },
    async settle(settlements) {
      const touched: string[] = []
      const places = new Map<string, number>()
      const args: (string | number)[] = [keep]
      for (const { webhook, id, seq, header, delivery } of settlements) {
        const { state } = delivery
        let place = places.get(`${webhook} ${state}`)
        if (place === undefined) {
          const { records, counts, states } = keys.ledger(webhook)
          place = touched.push(records, counts, states.pending, states[state]) - 3
          places.set(`${webhook} ${state}`, place)
        }
        args.push(place, id, seq, header, state, formatDelivery(delivery))
      }
      const answers = (await settleScript.run(redis, touched, args)) as number[]
      return answers.map((answer) => answer === 1)
    },
    async list(webhook, { state, before, limit }) {
      const { records, states } = keys.ledger(webhook)
      const upTo = before === undefined ? '+inf' : String(parseCursor(before, 'continue').seq)
      // Pending ones first: a delivery that ends while this is read is then seen twice rather than not at all.
      const answers = await Promise.all(
        (state === undefined ? deliveryStates : [state]).map((name) =>
          // Two lives of the log may share a number; those that belong to the previous page are taken out below.
          redis.call('ZREVRANGEBYSCORE', states[name], upTo, '-inf', 'LIMIT', 0, limit + 8),
        ),
      )
      const all = [...new Set((answers as string[][]).flat())].sort(newestFirst)
      const ids = all.filter((id) => before === undefined || newestFirst(before, id) < 0).slice(0, limit)
      if (ids.length === 0) return []
      const stored = (await redis.call('HMGET', records, ...ids)) as (string | null)[]
      return ids.flatMap((id, n) => {
        const text = stored[n]
        return text ? [{ id, ...parseDelivery(text) }] : []
      })
    },
    async counts(webhook) {
      const { counts, states } = keys.ledger(webhook)
      const [stored, pending] = await Promise.all([redis.call('HGETALL', counts), redis.call('ZCARD', states.pending)])
      const ended = toRecord(stored)
      const names = ['accepted', ...deliveryStates] as const
      const result = Object.fromEntries(names.map((name) => [name, Number(ended[name] ?? 0)]))
      return { ...result, pending: Number(pending) } as Record<'accepted' | DeliveryState, number>
    },
  }
}

function newestFirst(a: string, b: string): number {
  const difference = parseCursor(b).seq - parseCursor(a).seq
  if (difference !== 0) return difference
  return a === b ? 0 : a < b ? 1 : -1
}
