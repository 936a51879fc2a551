import type { Keys } from '../../shared/keys.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Logger } from '../../shared/role.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { FeedVitals } from './vitals.ts'

/** The state of one feed as `/readyz` shows it. */
export interface FeedStatus {
  state: 'syncing' | 'synced' | 'degraded'
  reason?: string
  /** RFC 3339: when the watcher said so. */
  at: string
  /** As of then. */
  vitals?: FeedVitals
}

/** Publishes how the feeds are; a status that is not renewed within 30 s counts as gone. */
export interface StatusBoard {
  set(feed: string, state: FeedStatus['state'], reason?: string): void
  /** What keeps a feed from being written, whatever its watch does; undefined: nothing any more. */
  trouble(feed: string, reason?: string): void
  /** Publishes these measurements with the feed's state from now on. */
  measure(feed: string, read: () => FeedVitals): void
  remove(feed: string): void
  stop(): void
}

const renewMs = 5000

/** Creates a board; each change of state is one line in the log. */
export function createStatusBoard(
  redis: RedisClient,
  keys: Keys,
  log: Logger,
  clock: Clock = systemClock,
): StatusBoard {
  const states = new Map<string, { state: FeedStatus['state']; reason?: string; trouble?: string }>()
  const measurements = new Map<string, () => FeedVitals>()
  const key = keys.own('status')
  /** Feeds whose last publication has not been answered: while Redis is away, nothing piles up. */
  const pending = new Set<string>()
  const alarmed = new Set<string>()

  function readVitals(feed: string): { vitals?: FeedVitals } {
    const vitals = measurements.get(feed)?.()
    if (vitals === undefined) return {}
    if (vitals.alarm === undefined) alarmed.delete(feed)
    else if (!alarmed.has(feed)) {
      alarmed.add(feed)
      log.warn(
        { feed, lag: vitals.lag },
        'the feed lags behind; beyond what the API server keeps, changes will be missing',
      )
    }
    return { vitals }
  }

  const publish = (feed: string) => {
    const entry = states.get(feed)
    if (entry === undefined || pending.has(feed)) return
    pending.add(feed)
    const reason = entry.trouble ?? entry.reason
    const status: FeedStatus = {
      state: entry.trouble === undefined ? entry.state : 'degraded',
      ...(reason === undefined ? {} : { reason }),
      at: new Date(clock.now()).toISOString(),
      ...readVitals(feed),
    }
    redis
      .call('HSET', key, feed, JSON.stringify(status))
      .catch((error: unknown) => log.debug({ err: error, feed }, 'could not publish the status'))
      .finally(() => {
        pending.delete(feed)
        // A state that changed meanwhile must not wait for the next renewal.
        if (states.get(feed) !== undefined && states.get(feed) !== entry) publish(feed)
      })
  }
  const cancel = clock.every(renewMs, () => {
    for (const feed of states.keys()) publish(feed)
  })
  return {
    set(feed, state, reason) {
      const before = states.get(feed)
      states.set(feed, {
        state,
        ...(reason === undefined ? {} : { reason }),
        ...(before?.trouble === undefined ? {} : { trouble: before.trouble }),
      })
      const isNews = before?.state !== state
      if (isNews && state === 'degraded') log.warn({ feed, reason }, 'the watch is degraded; trying on')
      else if (isNews) log.info({ feed }, state === 'synced' ? 'in sync with the cluster' : 'reading the current state')
      publish(feed)
    },
    trouble(feed, reason) {
      const entry = states.get(feed)
      if (entry === undefined || entry.trouble === reason) return
      if (reason !== undefined && entry.trouble === undefined) log.warn({ feed, reason }, 'the log cannot be written')
      if (reason === undefined) log.info({ feed }, 'the log can be written again')
      const { trouble: _, ...rest } = entry
      states.set(feed, reason === undefined ? rest : { ...rest, trouble: reason })
      publish(feed)
    },
    measure(feed, read) {
      measurements.set(feed, read)
    },
    remove(feed) {
      states.delete(feed)
      measurements.delete(feed)
      redis.call('HDEL', key, feed).catch((error: unknown) => log.debug({ err: error, feed }, 'could not unpublish'))
    },
    stop() {
      cancel()
    },
  }
}
