import type { Keys } from '../../shared/keys.ts'
import { createLogWriter, type LogWriter } from '../../shared/log/writer.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { createStateReader, type StateReader } from '../../shared/state.ts'

/** Where a watcher keeps everything that must outlive it. */
export interface Store {
  /** The writer of one feed, which keeps the known set of one resource. */
  openWriter(feed: string, resource: string): LogWriter
  state: StateReader
  /** Keeps bytes of a feed that nobody could read, for people to look at. */
  keepDeadLetter(feed: string, bytes: Uint8Array): Promise<void>
}

/** Dead letters are kept this long, in seconds, and only up to a size. */
const deadLetterSeconds = 7 * 86_400
const deadLetterBytes = 1_000_000

/** Creates the store of one cluster. `keepEntries`: the log's retention. */
export function createStore(deps: { redis: RedisClient; keys: Keys; keepEntries: number }): Store {
  const { redis, keys, keepEntries } = deps
  return {
    openWriter: (feed, resource) => createLogWriter({ redis, keys, feed, resource, keepEntries }),
    state: createStateReader(redis, keys),
    async keepDeadLetter(feed, bytes) {
      const text = new TextDecoder().decode(bytes.subarray(0, deadLetterBytes))
      await redis.call('SET', keys.own('dead-letter', feed), text, 'EX', deadLetterSeconds)
    },
  }
}
