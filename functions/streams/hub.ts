import type { CursorSeal } from '../../shared/cursor.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Keys } from '../../shared/keys.ts'
import type { LogEntry, LogReader } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'
import type { Logger } from '../../shared/role.ts'
import type { Limits } from '../limits.ts'
import { type Batch, createBatch } from './batch.ts'
import { createStreamCounts, type StreamCounts } from './counts.ts'
import { createPace } from './pace.ts'
import { createPages, type Pages } from './pages.ts'
import { createRing } from './ring.ts'
import { type Connection, runTail } from './tail.ts'
import { createViews, type Views } from './view.ts'

/** A reader of the log as the hub knows it. None of these throws. */
interface Subscriber {
  /** There may be news. */
  wake(): void
  /** Time has passed: send a heartbeat if it is due, give up if nobody reads. */
  sweep(now: number): void
  /** End politely. */
  end(): void
}

/** Where a position lies: in a batch in memory, at the end, or in Redis alone. */
type Place = Batch | 'head' | 'behind'

/** What is going on, for health and tests. */
export interface HubStats {
  readonly subscribers: number
  /** True while the process follows the log. */
  readonly isFollowing: boolean
  /** Up to where the log is known; absent until it is. */
  readonly head?: Position | undefined
}

/** One process's tail of the log, from which any number of subscribers pull. */
export interface Hub {
  readonly views: Views
  readonly pages: Pages
  readonly counts: StreamCounts
  /**
   * Adds a subscriber; the answer takes it out again.
   * @throws RelayError `unavailable` when there are too many, or the process is shutting down.
   */
  join(subscriber: Subscriber): () => void
  locate(position: Position): Place
  stats(): HubStats
  /** Refuses new subscribers and ends the present ones, not all at once. Resolves when the last has gone. */
  drain(): Promise<void>
}

/** Creates a hub at rest: it follows the log from the first subscriber on until some time after the last. */
export function createHub(deps: {
  connect: () => Connection
  reader: LogReader
  keys: Keys
  log: Logger
  limits: Limits
  /** Hears of all entries before subscribers do. */
  onEntries?: (entries: readonly LogEntry[]) => void
}): Hub {
  const { limits } = deps
  const subscribers = new Set<Subscriber>()
  const views = createViews()
  const ring = createRing(limits.ring)
  let head: Position | undefined
  let waiting: LogEntry[] = []
  let seal: CursorSeal | undefined
  const pace = createPace(limits.coalesce)
  let flushTimer: ReturnType<typeof setTimeout> | undefined
  let sweepTimer: ReturnType<typeof setInterval> | undefined
  let lingerTimer: ReturnType<typeof setTimeout> | undefined
  let tail: AbortController | undefined
  let isDraining = false
  let onEmpty: (() => void) | undefined

  const flush = () => {
    clearTimeout(flushTimer)
    flushTimer = undefined
    if (waiting.length === 0 || head === undefined || seal === undefined) return
    const batch = createBatch(head.epoch, waiting, seal, views)
    waiting = []
    head = { epoch: head.epoch, seq: batch.to }
    ring.push(batch)
    pace.write(() => {
      for (const subscriber of subscribers) subscriber.wake()
    })
  }

  const start = () => {
    clearTimeout(lingerTimer)
    if (tail !== undefined) return
    const controller = new AbortController()
    tail = controller
    const period = Math.max(10, Math.min(1_000, limits.heartbeat / 4, limits.stall / 4))
    let sweptAt = performance.now()
    let wasLate = false
    sweepTimer = setInterval(() => {
      const now = performance.now()
      // The process itself was held up, and has not heard yet of what readers took meanwhile.
      wasLate = !wasLate && now - sweptAt > 2 * period
      sweptAt = now
      if (wasLate) return
      for (const subscriber of subscribers) subscriber.sweep(now)
    }, period)
    void runTail(
      deps,
      {
        onHead(position) {
          if (tail !== controller) return
          waiting = []
          ring.clear()
          head = position
          for (const subscriber of subscribers) subscriber.wake()
        },
        onEntries({ epoch, entries, ...step }) {
          if (tail !== controller) return
          deps.onEntries?.(entries)
          if (head !== undefined && head.epoch !== epoch) {
            // The log moved to another epoch and lost nothing: readers find their places in it through Redis.
            flush()
            ring.clear()
            head = { epoch, seq: head.seq }
          }
          seal = step.seal
          waiting = waiting.length === 0 ? entries : waiting.concat(entries)
          const rest = pace.rest()
          if (rest <= 0) flush()
          else flushTimer ??= setTimeout(flush, rest)
        },
      },
      controller.signal,
    )
  }

  const stop = () => {
    clearTimeout(lingerTimer)
    clearTimeout(flushTimer)
    clearInterval(sweepTimer)
    flushTimer = undefined
    tail?.abort()
    tail = undefined
    head = undefined
    waiting = []
    ring.clear()
  }

  return {
    views,
    pages: createPages(deps.reader),
    counts: createStreamCounts(),
    join(subscriber) {
      if (isDraining) throw new RelayError('unavailable', 'The relay is shutting down.', { retryAfter: 1 })
      if (subscribers.size >= limits.maxStreams) {
        throw new RelayError('unavailable', `All ${limits.maxStreams} streams are taken; try again later.`, {
          retryAfter: 10,
        })
      }
      subscribers.add(subscriber)
      start()
      return () => {
        if (!subscribers.delete(subscriber) || subscribers.size > 0) return
        onEmpty?.()
        if (isDraining) stop()
        else lingerTimer = setTimeout(stop, limits.linger)
      }
    },
    locate(position) {
      if (head === undefined || position.epoch !== head.epoch) return 'behind'
      if (position.seq >= head.seq) return 'head'
      return ring.after(position.seq) ?? 'behind'
    },
    stats: () => ({ subscribers: subscribers.size, isFollowing: tail !== undefined, head }),
    async drain() {
      isDraining = true
      for (const subscriber of subscribers) setTimeout(() => subscriber.end(), Math.random() * limits.drain)
      if (subscribers.size > 0) await new Promise<void>((resolve) => (onEmpty = resolve))
      stop()
    },
  }
}
