import type { Keys } from '../../shared/keys.ts'
import { followLog } from '../../shared/log/reader.ts'
import type { Seen } from '../../shared/log/seen.ts'
import { createLogWriter } from '../../shared/log/writer.ts'
import type { Position } from '../../shared/position.ts'
import type { RedisClient } from '../../shared/redis.ts'

/** A feed that counts: its events are 1, 2, 3 and so on, and its resourceVersion is where it is. */
export interface CountingWriter {
  /** How far it came, acknowledged. */
  count(): number
  /** Why it lost its claim, each time. */
  readonly losses: string[]
  /** Messages of the errors that it met and survived. */
  readonly errors: string[]
  stop(): Promise<void>
}

/** Starts one that treats the log as the watcher does: it repeats an append until it is answered, and resumes from what is stored. */
export function startCountingWriter(options: {
  redis: RedisClient
  keys: Keys
  feed: string
  seen?: Seen
  pauseMs?: number
  /** Bytes of padding in each event. */
  padding?: number
}): CountingWriter {
  const { redis, keys, feed, seen, pauseMs = 1, padding = 0 } = options
  const writer = createLogWriter({ redis, keys, feed, resource: feed, keepEntries: 1_000_000, seen })
  const losses: string[] = []
  const errors: string[] = []
  let count = 0
  let isStopped = false
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

  const write = async (): Promise<string> => {
    const claim = await writer.claim(feed, 10_000)
    if (claim.held) return 'held'
    if (losses.at(-1) === 'conflict') await writer.renewEpoch(claim.fence)
    const { epoch } = losses.at(-1) === 'conflict' ? await reclaim() : claim
    let { batch, seq } = claim
    count = Number(claim.resourceVersion)
    while (!isStopped) {
      const json = JSON.stringify({
        id: `${feed}/${count + 1}`,
        time: new Date().toISOString(),
        pad: '.'.repeat(padding),
      })
      const answer = await repeat(() =>
        writer.append({
          fence: claim.fence,
          epoch,
          batch: batch + 1,
          seen: seq,
          resourceVersion: String(count + 1),
          note: '',
          operations: [
            { op: 'event', json },
            { op: 'set', key: `n/${(count + 1) % 10}`, record: `{"n":${count + 1}}` },
          ],
        }),
      )
      if (answer === undefined) return 'stopped'
      if (answer.outcome !== 'ok' && answer.outcome !== 'duplicate') return answer.outcome
      batch++
      count++
      seq = answer.to
      await pause(pauseMs)
    }
    return 'stopped'
  }
  const reclaim = async () => {
    const claim = await writer.claim(feed, 10_000)
    if (claim.held) throw new Error(`held by ${claim.owner}`)
    return claim
  }
  const repeat = async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    while (!isStopped) {
      try {
        return await work()
      } catch (error) {
        errors.push((error as Error).message)
        await pause(50)
      }
    }
    return undefined
  }
  const ended = (async () => {
    while (!isStopped) {
      const loss = await repeat(write)
      if (loss === undefined || loss === 'stopped') return
      losses.push(loss)
      await pause(20)
    }
  })()
  return {
    count: () => count,
    losses,
    errors,
    async stop() {
      isStopped = true
      await ended
    },
  }
}

/** A reader that remembers what it was told since it was last told to start over. */
export interface CountingReader {
  ids(): string[]
  readonly resets: Position[]
  position(): Position
  stop(): void
}

/** Starts one; `connect` opens a connection of its own, again after each failure. */
export function startCountingReader(
  connect: () => RedisClient & { disconnect(): void },
  keys: Keys,
  from: Position,
): CountingReader {
  const stopping = new AbortController()
  const resets: Position[] = []
  let ids: string[] = []
  let position = from
  let redis = connect()
  void (async () => {
    while (!stopping.signal.aborted) {
      try {
        for await (const step of followLog(redis, keys, position, { signal: stopping.signal })) {
          if (step.type === 'entries') {
            ids.push(...step.entries.map(({ json }) => JSON.parse(json).id))
            position = { epoch: step.epoch, seq: step.entries.at(-1)?.seq ?? position.seq }
          } else if (step.type === 'reset') {
            ids = []
            resets.push(step.oldest)
            position = step.oldest
          } else position = step.position
        }
      } catch {
        // The test is about what is read in the end, whatever it takes.
        redis.disconnect()
        await new Promise((resolve) => setTimeout(resolve, 50))
        if (!stopping.signal.aborted) redis = connect()
      }
    }
  })()
  return {
    ids: () => ids,
    resets,
    position: () => position,
    stop() {
      stopping.abort()
      redis.disconnect()
    },
  }
}

/** The ids of all that the log holds, oldest first. */
export async function readIds(redis: RedisClient, keys: Keys): Promise<string[]> {
  const entries = (await redis.call('XRANGE', keys.log, '-', '+')) as [string, string[]][]
  return entries.map(([, fields]) => JSON.parse(fields[1] ?? '').id)
}

/** `feed/1` to `feed/count`. */
export function idsUpTo(feed: string, count: number): string[] {
  return Array.from({ length: count }, (_, n) => `${feed}/${n + 1}`)
}
