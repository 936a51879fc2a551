import type { Keys } from '../../shared/keys.ts'
import { sweepFeeds } from '../../shared/log/sweep.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Logger } from '../../shared/role.ts'
import { type Cancel, type Clock, systemClock } from '../clock.ts'

const everyMs = 3_600_000
/** However short the log's history is: watchers that share the resources need not all be up all the time. */
const leastMs = 86_400_000

/**
 * Looks every hour for feeds that no configuration names any more, and removes what they left. The first time is an hour
 * after the start, when everybody who will claim a feed has done so.
 * @param deps.keepMs how far back the log goes: whoever was away for longer has nothing to resume from.
 */
export function startSweeping(deps: {
  redis: RedisClient
  keys: Keys
  keepMs: number
  log: Logger
  clock?: Clock
}): Cancel {
  const { redis, keys, keepMs, log, clock = systemClock } = deps
  return clock.every(everyMs, () => {
    sweepFeeds({ redis, keys, unclaimedMs: Math.max(keepMs, leastMs) }).then(
      (removed) => removed.length > 0 && log.info({ removed }, 'removed what feeds had left that nobody watches'),
      (error: unknown) => log.debug({ err: error }, 'could not look for feeds that nobody watches'),
    )
  })
}
