import type { Keys } from '../../shared/keys.ts'
import { formatPosition, parsePosition } from '../../shared/position.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { type Delivery, deliveryHeader, formatDelivery, parseDelivery } from '../../shared/webhook/delivery.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import type { Health } from '../../shared/webhook/ledger.ts'
import { lineMember } from '../../shared/webhook/line.ts'
import { joinLines } from './lines.ts'
import { leaveLineScript, loadScript, settleScript, takeLineScript } from './scripts.ts'

export interface LoadedJob {
  /** The webhook's record as stored; undefined when it was deleted. */
  webhook: string | undefined
  health: Health
  deliveries: LoadedDelivery[]
}

/** The front of the line of one object, oldest first; or why there is none. */
export type Line = { type: 'held' | 'empty' } | { type: 'mine'; deliveries: LoadedDelivery[]; newest: string }

export interface LoadedDelivery {
  id: string
  seq: number
  /** Undefined when it is no longer kept. */
  delivery: Delivery | undefined
  /** The event's JSON as the log has it; undefined when the log no longer has it. */
  event: string | undefined
}

/** A delivery's next state, to be recorded. */
export interface Settlement {
  webhook: string
  id: string
  seq: number
  /** As it was read. */
  before: Delivery
  after: Delivery
}

/** Events by delivery id, so that one that many webhooks get is read once. */
export interface EventCache {
  get(id: string): string | undefined
  set(id: string, json: string): void
}

/** What the deliverer does with the ledger. */
export interface LedgerWork {
  /** All that some jobs need, in one round trip. */
  load(jobs: readonly DeliveryJob[]): Promise<LoadedJob[]>
  /**
   * Records next states in one round trip. True for each that was still as it was read.
   * @param counts is added to the metrics of all webhooks.
   */
  settle(settlements: readonly Settlement[], counts?: ReadonlyMap<string, number>): Promise<boolean[]>
  /**
   * Takes the line of one object for a job, and reads up to `limit` of it. `held`: another job works on it and will look
   * again. A line that a dead job held is free after `lease` ms, and at once for the same job.
   */
  takeLine(webhook: string, object: string, job: string, options: { lease: number; limit: number }): Promise<Line>
  /** Leaves a line. False: somebody asked to look again first. */
  leaveLine(webhook: string, object: string, job: string): Promise<boolean>
}

/** Creates the deliverer's side of the ledger. Of each webhook and end state the newest `keep` deliveries are kept. */
export function createLedgerWork(
  redis: RedisClient,
  clusterKeys: Keys,
  { keep, events }: { keep: number; events: EventCache },
): LedgerWork {
  const keys = createWebhookKeys(clusterKeys)
  return {
    async load(jobs) {
      const touched = [keys.webhooks, keys.health, clusterKeys.log]
      const args: (string | number)[] = [jobs.length]
      const wanted = new Map<string, number>()
      const idsOf = jobs.map(({ webhook, epoch, seqs }) => {
        touched.push(keys.ledger(webhook).records)
        const ids = seqs.map((seq) => formatPosition({ epoch, seq }))
        args.push(webhook, joinLines(ids))
        for (const [n, id] of ids.entries()) if (events.get(id) === undefined) wanted.set(id, seqs[n] ?? 0)
        return ids
      })
      args.push(...wanted.values())
      const answer = (await loadScript.run(redis, touched, args)) as [...LoadAnswer[], (string | null)[]]
      const found = new Map<string, string>()
      for (const [n, id] of [...wanted.keys()].entries()) {
        const json = (answer[jobs.length] as (string | null)[])[n]
        if (!json) continue
        found.set(id, json)
        events.set(id, json)
      }
      return jobs.map(({ seqs }, n): LoadedJob => {
        const [webhook, since, until, lines] = answer[n] as LoadAnswer
        const records = lines.split('\n')
        const deliveries = seqs.map((seq, i): LoadedDelivery => {
          const [id = '', stored] = [idsOf[n]?.[i], records[i]]
          return {
            id,
            seq,
            delivery: stored ? parseDelivery(stored) : undefined,
            event: found.get(id) ?? events.get(id),
          }
        })
        const failing = since ? { failingSince: Number(since) } : {}
        const paused = until ? { pausedUntil: Number(until) } : {}
        return { webhook: webhook || undefined, health: { ...failing, ...paused }, deliveries }
      })
    },
    async settle(settlements, counts = new Map()) {
      const groups = new Map<string, { webhook: string; state: Delivery['state']; members: number[] }>()
      for (const [n, { webhook, after }] of settlements.entries()) {
        const name = `${webhook} ${after.state}`
        const group = groups.get(name)
        if (group === undefined) groups.set(name, { webhook, state: after.state, members: [n] })
        else group.members.push(n)
      }
      const touched = [keys.metrics]
      const args: (string | number)[] = [keep, counts.size]
      for (const [field, increment] of counts) args.push(field, increment)
      const order: number[] = []
      for (const { webhook, state, members } of groups.values()) {
        const { records, counts, states, lines: places } = keys.ledger(webhook)
        const lines: (string | number)[] = []
        for (const n of members) {
          const { id, seq, before, after } = settlements[n] as Settlement
          lines.push(id, seq, deliveryHeader(before), formatDelivery(after), lineMember(after, id))
          order.push(n)
        }
        const first = touched.push(records, counts, states.pending, states[state], places) - 4
        args.push(first, state, joinLines(lines))
      }
      const answers = (await settleScript.run(redis, touched, args)) as string
      const results: boolean[] = []
      for (const [i, n] of order.entries()) results[n] = answers[i] === '1'
      return results
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
  }
}

type LoadAnswer = [webhook: string | null, since: string | null, until: string | null, records: string]

/** The delivery id in a place in line. */
function idOf(place: string): string {
  return place.slice(place.lastIndexOf(' ') + 1)
}
