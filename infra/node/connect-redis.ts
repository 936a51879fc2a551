import { Redis } from 'ioredis'
import type { Logger } from '../../shared/role.ts'

/** Without an answer for this long a connection counts as dead, in ms: a half-open one raises no error by itself. */
const silenceMs = 10_000

/**
 * Connects to Redis and stays connected: it tries again for ever, and commands wait meanwhile. One log line per change of
 * state.
 * @param options.name what the connection is for; shown in the log and in `CLIENT LIST`.
 */
export function connectRedis(url: string, options: { log: Logger; name: string }): Redis {
  const { log, name } = options
  const redis = new Redis(url, {
    connectionName: `relay-${name}`,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2000),
    connectTimeout: 5000,
    socketTimeout: silenceMs,
  })
  let isDown = false
  redis.on('ready', () => {
    if (isDown) log.info({ connection: name }, 'Redis is back')
    isDown = false
  })
  redis.on('error', (error: NodeJS.ErrnoException) => {
    if (!isDown)
      log.warn({ connection: name, reason: error.code ?? error.message }, 'Redis cannot be reached; trying on')
    isDown = true
  })
  return redis
}
