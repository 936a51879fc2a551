import type { RelayEvent } from '../event.ts'
import { compileFilter } from '../filter/filter.ts'
import type { Keys } from '../keys.ts'
import type { LogReader } from '../log/reader.ts'
import type { RedisClient } from '../redis.ts'
import type { DeliveryState } from './delivery.ts'
import { createWebhookKeys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { deliveryIds, readReach } from './reach.ts'
import { toSnapshotId } from './snapshot.ts'
import type { Webhook } from './webhook.ts'

/** What a comparison of the ledger with log and filter found. */
export type Verification = Record<'accepted' | DeliveryState, number> & {
  /** Each accepted delivery is pending or has exactly one end. */
  isBalanced: boolean
  /** How many current objects were accepted before the events, for a webhook that started with the state. */
  told: number
  /** Cursors: the events after the first, up to the second, were compared. */
  from: string
  to: string
  events: number
  matched: number
  /** Cursors of events that pass the filter and were not accepted, and ids of deliveries that are gone; at most 100. */
  missing: string[]
}

const pageSize = 1000
const mostEvents = 50_000
const mostMissing = 100

/**
 * Compares what was accepted for a webhook with what the log and its filter say. Looks at what both still hold, of that
 * since the webhook was last changed, and at the newest 50,000 events of it.
 */
export async function verifyLedger(
  deps: { redis: RedisClient; keys: Keys; reader: LogReader; ledger: Pick<Ledger, 'counts' | 'floor'> },
  webhook: Webhook,
): Promise<Verification> {
  const { redis, reader, ledger } = deps
  const { id, filter, enabled } = webhook
  const { bounds, start, reached: to, changed, floor, told, until } = await readReach(deps, webhook)
  const { epoch, seal } = bounds
  const from = Math.min(to, Math.max(start, changed, until, floor, bounds.first - 1, to - mostEvents))
  const matches = compileFilter(filter)
  const missing: string[] = []
  let [events, matched] = [0, 0]
  const { records } = createWebhookKeys(deps.keys).ledger(id)
  /** Of some deliveries, each with the ids that it may have, those of which there is no record. */
  const findMissing = async (wanted: readonly string[][]) => {
    const ids = wanted.flat()
    if (ids.length === 0) return []
    const stored = (await redis.call('HMGET', records, ...ids)) as (string | null)[]
    const found = new Set(ids.filter((_, n) => stored[n] !== null))
    return wanted.filter((each) => !each.some((one) => found.has(one))).map(([first = '']) => first)
  }
  for (let at = from; at < to && enabled; ) {
    const page = (await reader.read(at, pageSize)).filter(({ seq }) => seq <= to)
    if (page.length === 0) break
    at = page.at(-1)?.seq ?? to
    events += page.length
    const wanted = page
      .filter(({ json }) => matches(JSON.parse(json) as RelayEvent) !== undefined)
      .map(({ seq }) => deliveryIds(bounds, seq))
    matched += wanted.length
    missing.push(...(await findMissing(wanted)))
  }
  for (let n = floor + 1; n <= told; n += pageSize) {
    const ids = Array.from({ length: Math.min(pageSize, told - n + 1) }, (_, i) => [toSnapshotId(n + i)])
    missing.push(...(await findMissing(ids)))
  }
  const counts = await ledger.counts(id)
  const { accepted, ...ends } = counts
  return {
    ...counts,
    isBalanced: accepted === Object.values(ends).reduce((sum, count) => sum + count, 0),
    told,
    from: seal.toCursor({ epoch, seq: from }),
    to: seal.toCursor({ epoch, seq: to }),
    events,
    matched,
    missing: missing.slice(0, mostMissing),
  }
}
