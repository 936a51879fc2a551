import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { parseRedisAddress } from '../../shared/config/redis-address.ts'
import type { Logger } from '../../shared/role.ts'
import { SetupError } from './setup-error.ts'

/** A connection to one server, to whichever the sentinels name, or to all nodes of a cluster. */
export type RedisConnection = Redis | Cluster

/** How `openRedis` connects; `retryStrategy` also counts for a cluster as a whole. */
export type OpenOptions = Pick<
  RedisOptions,
  'connectionName' | 'commandTimeout' | 'connectTimeout' | 'enableOfflineQueue' | 'retryStrategy' | 'socketTimeout'
> & { maxRetriesPerRequest?: number | null }

/**
 * Opens a connection to what `REDIS_URL` names.
 * @param url see `parseRedisAddress`.
 * @throws SetupError when it names nothing.
 */
export function openRedis(url: string, options: OpenOptions): RedisConnection {
  const address = parseRedisAddress(url)
  if (address === undefined) throw new SetupError('REDIS_URL: names no Redis server')
  const common = { ...options, reconnectOnError: isDemoted }
  if (address.kind === 'server') return new Redis(address.url, common)
  const { username, password, nodes } = address
  const login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(address.tls ? { tls: {} } : {}),
  }
  if (address.kind === 'sentinel') {
    // Without ioredis' failoverDetector: a failover that it hears of while it connects ends the connection for good. A
    // demoted master cuts its clients off, and one that hangs is silent for too long.
    const { name, db, sentinelPassword } = address
    return new Redis({
      ...common,
      ...login,
      sentinels: nodes,
      name,
      db,
      ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
      enableTLSForSentinelMode: address.tls,
      ...(options.retryStrategy ? { sentinelRetryStrategy: options.retryStrategy } : {}),
    })
  }
  const { retryStrategy, enableOfflineQueue = true, ...perNode } = common
  return new Cluster(nodes, {
    enableOfflineQueue,
    clusterRetryStrategy: retryStrategy ?? null,
    slotsRefreshTimeout: 2000,
    redisOptions: { ...perNode, ...login },
  })
}

/** Without an answer for this long a connection counts as dead, in ms: a half-open one raises no error by itself. */
const defaultSilenceMs = 10_000

/**
 * Connects to Redis and stays connected: it tries again for ever, and commands wait meanwhile. One log line per change of
 * state.
 * @param options.name what the connection is for; shown in the log and in `CLIENT LIST`.
 * @param options.silenceMs longer than any of its commands blocks.
 * @param options.isQuiet for a connection beside one that tells already.
 */
export function connectRedis(
  url: string,
  options: { log: Logger; name: string; silenceMs?: number; isQuiet?: boolean },
): RedisConnection {
  const { log, name, silenceMs = defaultSilenceMs, isQuiet = false } = options
  const redis = openRedis(url, {
    connectionName: `relay-${name}`,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2000),
    connectTimeout: 5000,
    socketTimeout: silenceMs,
  })
  let isDown = false
  const tell = (level: 'info' | 'warn', fields: object, message: string) =>
    log[isQuiet ? 'debug' : level](fields, message)
  redis.on('ready', () => {
    if (isDown) tell('info', { connection: name }, 'Redis is back')
    isDown = false
  })
  redis.on('error', (error: NodeJS.ErrnoException) => {
    if (!isDown)
      tell('warn', { connection: name, reason: error.code ?? error.message }, 'Redis cannot be reached; trying on')
    isDown = true
  })
  return redis
}

/** A master that became a replica keeps its connections; whoever connects anew is led to the present one. */
function isDemoted(error: Error): boolean {
  return error.message.includes('READONLY')
}
