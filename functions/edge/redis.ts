import { createPollingClient } from '../../shared/redis/polling.ts'
import { createRestClient } from '../../shared/redis/rest.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Connection } from '../streams/tail.ts'
import { openSocket } from './redis-socket.ts'

/** What a Worker can connect to. A cluster or sentinels it cannot: it does not see the addresses that they tell. */
export const redisForms = /^(rediss?|https?):\/\/[^/]/

/** How a hub reaches Redis. */
export interface EdgeRedis {
  /** For short commands. Connected while it is used. */
  readonly redis: RedisClient
  /** Closes the connection for commands if none is under way; the next one opens another. */
  release(): void
  /** Opens another connection, for reads that wait. */
  connect(): Connection
}

/**
 * Connects by what the address says: over TCP, or by HTTP with a token.
 * @param options.rest how long the connection for commands stays open unused, in ms.
 */
export function reachRedis(url: string, options: { token?: string | undefined; rest: number }): EdgeRedis {
  const { token = '', rest } = options
  if (/^https?:/.test(url)) {
    const redis = createRestClient({ url, token, timeout: commandTimeout })
    return {
      redis,
      release: () => undefined,
      connect() {
        const ending = new AbortController()
        return { redis: createPollingClient(redis, ending.signal), close: () => ending.abort() }
      },
    }
  }
  const open = (name: string) => openSocket(url, { name, timeout: commandTimeout })
  return { ...createDormantClient(() => open('relay-serve'), rest), connect: () => open('relay-tail') }
}

/** Longer than reads of the tail block, in ms. */
const commandTimeout = 5_000

/**
 * Creates a client whose connection is opened by the first command and closed some time after the last, so that an object
 * that nobody uses can be put to sleep. A command that fails ends the connection, and the next one opens another.
 */
function createDormantClient(open: () => Connection, rest: number): Pick<EdgeRedis, 'redis' | 'release'> {
  let connection: Connection | undefined
  let busy = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  const close = (which: Connection | undefined) => {
    if (which === undefined || which !== connection) return
    connection = undefined
    which.close()
  }
  const release = () => {
    clearTimeout(timer)
    if (busy === 0) close(connection)
  }
  const redis: RedisClient = {
    async call(command, ...args) {
      clearTimeout(timer)
      busy++
      connection ??= open()
      const used = connection
      try {
        return await used.redis.call(command, ...args)
      } catch (error) {
        // What Redis itself refuses says nothing about the connection.
        if (!(error instanceof Error && error.name === 'ReplyError')) close(used)
        throw error
      } finally {
        busy--
        if (busy === 0) timer = setTimeout(release, rest)
      }
    },
  }
  return { redis, release }
}
