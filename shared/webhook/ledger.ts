import type { Keys } from '../keys.ts'
import { parsePosition } from '../position.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { type Delivery, type DeliveryState, deliveryStates, failedStates, parseDelivery } from './delivery.ts'
import { createWebhookKeys } from './keys.ts'
import { countScript } from './scripts.ts'

/** A delivery with its id: the cursor of its event, unique within its webhook. */
export interface ListedDelivery extends Delivery {
  id: string
}

/** How an endpoint does. */
export interface Health {
  /** When the first attempt failed after which none succeeded, ms since 1970; absent: it works, as far as is known. */
  failingSince?: number
  /** Until when it wants to be left alone, ms since 1970. */
  pausedUntil?: number
}

export interface Search {
  state?: DeliveryState
  before?: string
  limit: number
  accepts(delivery: ListedDelivery): boolean
}

/** What became of every accepted pair of event and webhook. */
export interface Ledger {
  /** Newest events first. `before` is the id of the last delivery of the previous page. */
  list(webhook: string, options: { state?: DeliveryState; before?: string; limit: number }): Promise<ListedDelivery[]>
  /**
   * The same for those that `accepts` lets through. Looks at some thousands at most: a page that holds less than `limit` may
   * say where to go on.
   */
  search(webhook: string, options: Search): Promise<{ items: ListedDelivery[]; next?: string }>
  get(webhook: string, id: string): Promise<ListedDelivery | undefined>
  /** The number of the last event up to which ended deliveries may have been dropped for newer ones; 0 if none was. */
  floor(webhook: string): Promise<number>
  /** How many of those that are kept ended since then (ms since 1970) without being delivered, and can be recovered. */
  countFailed(webhook: string, since: number): Promise<number>
  /** How many were ever accepted and came to each end; `pending` is what waits now. */
  counts(webhook: string): Promise<Record<'accepted' | DeliveryState, number>>
}

const longestSearch = 5000

/** Ended deliveries that are kept, per webhook and end state. */
export const keepEnded = 10_000

/** Creates the ledger. Of each webhook and end state the newest `keep` deliveries are kept, of pending ones all. */
export function createLedger(redis: RedisClient, clusterKeys: Keys, keep = keepEnded): Ledger {
  const keys = createWebhookKeys(clusterKeys)
  return {
    async list(webhook, { state, before, limit }) {
      const { records, states } = keys.ledger(webhook)
      const upTo = before === undefined ? '+inf' : String(parsePosition(before, 'continue').seq)
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
    async search(webhook, { accepts, limit, ...rest }) {
      const items: ListedDelivery[] = []
      let before = rest.before
      for (let looked = 0; looked < longestSearch; ) {
        const here = before === undefined ? {} : { before }
        const page = await this.list(webhook, { ...rest, ...here, limit: Math.max(limit + 1, 200) })
        if (page.length === 0) return { items }
        looked += page.length
        for (const delivery of page) {
          if (!accepts(delivery)) continue
          const last = items.at(-1)
          if (items.length === limit && last !== undefined) return { items, next: last.id }
          items.push(delivery)
        }
        before = page.at(-1)?.id
      }
      return before === undefined ? { items } : { items, next: before }
    },
    async get(webhook, id) {
      const stored = await redis.call('HGET', keys.ledger(webhook).records, id)
      return typeof stored === 'string' ? { id, ...parseDelivery(stored) } : undefined
    },
    async floor(webhook) {
      const { states } = keys.ledger(webhook)
      const { pending: _, ...ends } = states
      const full = Object.values(ends).map(async (state) => {
        if (Number(await redis.call('ZCARD', state)) < keep) return 0
        const [oldest] = (await redis.call('ZRANGE', state, 0, 0)) as string[]
        return oldest === undefined ? 0 : parsePosition(oldest).seq
      })
      return Math.max(...(await Promise.all(full)))
    },
    async countFailed(webhook, since) {
      const { records, states } = keys.ledger(webhook)
      const events = new Set<string>()
      for (const state of failedStates) {
        const ids = (await redis.call('ZRANGE', states[state], 0, -1)) as string[]
        for (let i = 0; i < ids.length; i += 1000) {
          const stored = (await redis.call('HMGET', records, ...ids.slice(i, i + 1000))) as (string | null)[]
          for (const text of stored) {
            const delivery = text ? parseDelivery(text) : undefined
            if ((delivery?.endedAt ?? 0) >= since) events.add(delivery?.event ?? '')
          }
        }
      }
      return events.size
    },
    async counts(webhook) {
      const { counts, states } = keys.ledger(webhook)
      const [pending, ...flat] = (await countScript.run(redis, [counts, states.pending], [])) as string[]
      const ended = toRecord(flat)
      const names = ['accepted', ...deliveryStates] as const
      const result = Object.fromEntries(names.map((name) => [name, Number(ended[name] ?? 0)]))
      return { ...result, pending: Number(pending) } as Record<'accepted' | DeliveryState, number>
    },
  }
}

function newestFirst(a: string, b: string): number {
  const difference = parsePosition(b).seq - parsePosition(a).seq
  if (difference !== 0) return difference
  return a === b ? 0 : a < b ? 1 : -1
}
