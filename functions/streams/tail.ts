import type { Keys } from '../../shared/keys.ts'
import { followLog, type LogReader, type LogStep } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Logger } from '../../shared/role.ts'

/** A Redis connection that somebody owns. */
export interface Connection {
  readonly redis: RedisClient
  close(): void
}

/** Where the tail stands, and what it read. */
export interface TailEvents {
  /** The tail begins here; also after entries were lost. */
  onHead(position: Position): void
  onEntries(step: Extract<LogStep, { type: 'entries' }>): void
}

const firstPause = 100
const longestPause = 3_000

/**
 * Follows the log from its end until the signal aborts, over a connection of its own, and goes on where it was after every
 * failure.
 */
export async function runTail(
  deps: { connect: () => Connection; reader: LogReader; keys: Keys; log: Logger },
  { onHead, onEntries }: TailEvents,
  signal: AbortSignal,
): Promise<void> {
  let head: Position | undefined
  let pause = firstPause
  while (!signal.aborted) {
    const connection = deps.connect()
    // A blocked read ends only with its connection.
    signal.addEventListener('abort', connection.close, { once: true })
    try {
      if (head === undefined) {
        const { epoch, last } = await deps.reader.bounds()
        head = { epoch, seq: last }
        onHead(head)
      }
      for await (const step of followLog(connection.redis, deps.keys, head, { signal })) {
        if (pause > firstPause) deps.log.info({}, 'following the log again')
        pause = firstPause
        if (step.type === 'entries') {
          head = { epoch: step.epoch, seq: step.entries.at(-1)?.seq ?? head.seq }
          onEntries(step)
        } else if (step.type === 'reset') {
          head = step.oldest
          onHead(head)
        }
      }
    } catch (error) {
      if (signal.aborted) return
      if (pause === firstPause) deps.log.warn({ err: error }, 'cannot follow the log; trying again until it works')
      await sleep(pause * (0.5 + Math.random() / 2), signal)
      pause = Math.min(pause * 2, longestPause)
    } finally {
      signal.removeEventListener('abort', connection.close)
      connection.close()
    }
  }
}

/** Waits, but no longer than until the signal aborts. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal.addEventListener('abort', finish, { once: true })
  })
}
