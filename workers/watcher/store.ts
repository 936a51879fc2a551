import type { Keys } from '../../shared/keys.ts'
import { createSeen } from '../../shared/log/seen.ts'
import { createLogWriter, type LogWriter, type LogWriterDeps } from '../../shared/log/writer.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { createStateReader, type StateReader } from '../../shared/state.ts'
import { maskJsonText } from '../normalize/redact.ts'

/** Where a watcher keeps everything that must outlive it. */
export interface Store {
  /** The writer of one feed, which keeps the known set of one resource, or of that in one namespace. */
  openWriter(feed: string, resource: string, namespace?: string): LogWriter
  state: StateReader
  /** Keeps bytes of a feed that nobody could read, for people to look at. */
  keepDeadLetter(feed: string, bytes: Uint8Array): Promise<void>
}

/** Dead letters are kept this long, in seconds, and only up to a size. */
const deadLetterSeconds = 7 * 86_400
const deadLetterBytes = 1_000_000

/** Creates the store of one cluster, for all feeds of a process. `keep…`: the log's retention. */
export function createStore(
  deps: { redis: RedisClient; keys: Keys } & Pick<LogWriterDeps, 'keepEntries' | 'keepBytes' | 'keepMs'>,
): Store {
  const { redis, keys } = deps
  const seen = createSeen()
  return {
    openWriter: (feed, resource, namespace) => createLogWriter({ ...deps, feed, resource, namespace, seen }),
    state: createStateReader(redis, keys),
    async keepDeadLetter(feed, bytes) {
      const text = maskJsonText(new TextDecoder().decode(bytes.subarray(0, deadLetterBytes)))
      await redis.call('SET', keys.own('dead-letter', feed), text, 'EX', deadLetterSeconds)
    },
  }
}
