import type { Keys } from '../../shared/keys.ts'
import { parsePosition } from '../../shared/position.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { type Delivery, parseDelivery } from '../../shared/webhook/delivery.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import type { LedgerWork, Settlement } from '../ledger/work.ts'

const pageSize = 200
/** How many of the oldest that nobody may end yet are looked at in one go: they end by their jobs, or later. */
const reach = 5000
/** How soon to look again for what was under way, in ms. */
export const lookAgainAfter = 5000
/** For how long an attempt may still be under way, of a job that was loaded before the webhook was turned off, in ms. */
const patience = 90_000

/**
 * Ends what waits for a webhook that was turned off: retries at once, and what may be under way when it cannot be any more.
 * @param since when the webhook was turned off, ms since 1970.
 * @returns whether something is left to look after.
 */
export async function retire(
  deps: { redis: RedisClient; keys: Keys; ledger: Pick<LedgerWork, 'settle'>; now(): number; signal: AbortSignal },
  webhook: string,
  since: number,
): Promise<boolean> {
  const { redis, ledger, now, signal } = deps
  const { records, states } = createWebhookKeys(deps.keys).ledger(webhook)
  let left = 0
  while (!signal.aborted && left < reach) {
    const ids = (await redis.call('ZRANGE', states.pending, left, left + pageSize - 1)) as string[]
    if (ids.length === 0) break
    const stored = (await redis.call('HMGET', records, ...ids)) as (string | null)[]
    const settlements: Settlement[] = []
    for (const [n, id] of ids.entries()) {
      const text = stored[n]
      const before = text ? parseDelivery(text) : undefined
      if (before === undefined || !isIdle(before, since, now())) continue
      const { due: _, ...rest } = before
      const after: Delivery = { ...rest, state: 'disabled', endedAt: now() }
      settlements.push({ webhook, id, seq: parsePosition(id).seq, before, after })
    }
    left += ids.length - settlements.length
    if (settlements.length > 0) await ledger.settle(settlements)
  }
  return left > 0
}

/** Whether nobody can be attempting it. */
function isIdle({ state, due = 0 }: Delivery, since: number, now: number): boolean {
  return state === 'pending' && (due > now || now > since + patience)
}
