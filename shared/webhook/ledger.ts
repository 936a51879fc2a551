import type { Keys } from '../keys.ts'
import { formatPosition, parsePosition } from '../position.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { type Delivery, type DeliveryState, deliveryStates, formatDelivery, parseDelivery } from './delivery.ts'
import type { DeliveryJob } from './job.ts'
import { createWebhookKeys } from './keys.ts'
import { lineMember } from './line.ts'
import { countScript, leaveLineScript, loadScript, settleScript, takeLineScript } from './scripts.ts'

/** A delivery with its id: the cursor of its event, unique within its webhook. */
export interface ListedDelivery extends Delivery {
  id: string
}

export interface LoadedJob {
  /** The webhook's record as stored; undefined when it was deleted. */
  webhook: string | undefined
  health: Health
  deliveries: LoadedDelivery[]
}

/** How an endpoint does. */
export interface Health {
  /** When the first attempt failed after which none succeeded, ms since 1970; absent: it works, as far as is known. */
  failingSince?: number
  /** Until when it wants to be left alone, ms since 1970. */
  pausedUntil?: number
}

/** The front of the line of one object, oldest first; or why there is none. */
export type Line = { type: 'held' | 'empty' } | { type: 'mine'; deliveries: LoadedDelivery[]; newest: string }

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

export interface Search {
  state?: DeliveryState
  before?: string
  limit: number
  accepts(delivery: ListedDelivery): boolean
}

/** What became of every accepted pair of event and webhook. */
export interface Ledger {
  /** All that a job needs, in one round trip. */
  load(job: DeliveryJob): Promise<LoadedJob>
  /** Records next states in one round trip. True for each that was still as it was read. */
  settle(settlements: readonly Settlement[]): Promise<boolean[]>
  /**
   * Takes the line of one object for a job, and reads up to `limit` of it. `held`: another job works on it and will look
   * again. A line that a dead job held is free after `lease` ms, and at once for the same job.
   */
  takeLine(webhook: string, object: string, job: string, options: { lease: number; limit: number }): Promise<Line>
  /** Leaves a line. False: somebody asked to look again first. */
  leaveLine(webhook: string, object: string, job: string): Promise<boolean>
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
  /** How many were ever accepted and came to each end; `pending` is what waits now. */
  counts(webhook: string): Promise<Record<'accepted' | DeliveryState, number>>
}

const longestSearch = 5000

/** Creates the ledger. Of each webhook and end state the newest `keep` deliveries are kept, of pending ones all. */
export function createLedger(redis: RedisClient, clusterKeys: Keys, keep = 10_000): Ledger {
  const keys = createWebhookKeys(clusterKeys)
  return {
    async load(job) {
      const ids = job.seqs.map((seq) => formatPosition({ epoch: job.epoch, seq }))
      const args: (string | number)[] = [job.webhook]
      for (const [n, seq] of job.seqs.entries()) args.push(ids[n] ?? '', seq)
      const touched = [keys.webhooks, keys.ledger(job.webhook).records, clusterKeys.log, keys.health]
      const [webhook, since, until, ...flat] = (await loadScript.run(redis, touched, args)) as string[]
      const deliveries = job.seqs.map((seq, n): LoadedDelivery => {
        const [stored, event] = [flat[2 * n], flat[2 * n + 1]]
        const delivery = stored ? parseDelivery(stored) : undefined
        return { id: ids[n] ?? '', seq, delivery, event: event || undefined }
      })
      const health = toHealth(since, until)
      return { webhook: webhook || undefined, health, deliveries }
    },
    async takeLine(webhook, object, job, { lease, limit }) {
      const { lines, locks, records } = keys.ledger(webhook)
      const touched = [lines, locks, records, clusterKeys.log]
      const answer = (await takeLineScript.run(redis, touched, [object, job, lease, limit])) as string[]
      const [type, newest = '', ...flat] = answer
      if (type === 'held' || type === 'empty') return { type }
      const deliveries: LoadedDelivery[] = []
      for (let i = 0; i < flat.length; i += 3) {
        const [place = '', stored, event] = flat.slice(i, i + 3)
        const id = idOf(place)
        const delivery = stored ? parseDelivery(stored) : undefined
        deliveries.push({ id, seq: parsePosition(id).seq, delivery, event: event || undefined })
      }
      return { type: 'mine', deliveries, newest: idOf(newest) }
    },
    async leaveLine(webhook, object, job) {
      return (await leaveLineScript.run(redis, [keys.ledger(webhook).locks], [object, job])) === 1
    },
    async settle(settlements) {
      const touched: string[] = []
      const places = new Map<string, number>()
      const args: (string | number)[] = [keep]
      for (const { webhook, id, seq, header, delivery } of settlements) {
        const { state } = delivery
        let place = places.get(`${webhook} ${state}`)
        if (place === undefined) {
          const { records, counts, lines, states } = keys.ledger(webhook)
          place = touched.push(records, counts, states.pending, states[state], lines) - 4
          places.set(`${webhook} ${state}`, place)
        }
        const member = delivery.object === undefined ? '' : lineMember(delivery.object, seq, id)
        args.push(place, id, seq, header, state, formatDelivery(delivery), member)
      }
      const answers = (await settleScript.run(redis, touched, args)) as number[]
      return answers.map((answer) => answer === 1)
    },
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

function toHealth(since: string | undefined, until: string | undefined): Health {
  return {
    ...(since ? { failingSince: Number(since) } : {}),
    ...(until ? { pausedUntil: Number(until) } : {}),
  }
}

/** The delivery id in a place in line. */
function idOf(place: string): string {
  return place.slice(place.lastIndexOf(' ') + 1)
}

function newestFirst(a: string, b: string): number {
  const difference = parsePosition(b).seq - parsePosition(a).seq
  if (difference !== 0) return difference
  return a === b ? 0 : a < b ? 1 : -1
}
