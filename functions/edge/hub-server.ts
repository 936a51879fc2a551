import { createKeys } from '../../shared/keys.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { settleResources } from '../../shared/resolution.ts'
import { isSettled } from '../../shared/resource.ts'
import { createApp } from '../app.ts'
import { defaultLimits } from '../limits.ts'
import type { Flow } from '../streams/subscription.ts'
import type { EdgeEnvironment, HubLimits } from './environment.ts'
import { createConsoleLogger } from './log.ts'
import { pour } from './pour.ts'
import { reachRedis } from './redis.ts'
import { readSettings } from './settings.ts'
import { createMeter } from './shards.ts'
import { createSockets, type Sockets } from './sockets.ts'

/**
 * Says that a hub has no room for others: `full` on the refusal of one that has as many subscribers as it may, and `busy` on an
 * answer of one that has much to do. Nobody is refused for that: a browser's EventSource would not try again.
 */
export const roomHeader = 'relay-hub-room'

/** An object has 128 MB for everything; so many subscribers take a quarter: `npm run bench -- edge --only heap`. */
const hubLimits = {
  maxStreams: 2_000,
  ring: 4 * 1024 * 1024,
  linger: 5_000,
  requests: 500,
} satisfies Partial<HubLimits>
/** How often Redis is asked what names mean that only the watcher can find out, in ms; never where all are certain. */
const settleMs = 1_000

/** The functions in a Durable Object. */
export interface HubServer {
  fetch(request: Request): Promise<Response>
  readonly sockets: Sockets
}

/**
 * Serves the functions in a Durable Object. It holds connections to Redis while somebody asks or listens; afterwards nothing
 * keeps it awake, and whoever comes next finds everything again by its cursor.
 */
export function createHubServer(context: DurableObjectState, env: EdgeEnvironment): HubServer {
  const settings = readSettings(env)
  const { cluster, auth, origins, resources, sleepAfter } = settings
  const limits = { ...defaultLimits, ...hubLimits, ...env.HUB_LIMITS }
  const log = createConsoleLogger(settings.logLevel)
  const { redis, connect, release } = reachRedis(settings.redisUrl, { token: settings.redisToken, rest: limits.linger })
  const webhooks = { encryptionKey: settings.secretKey, policy: settings.policy }
  const app = createApp({ cluster, redis, connect, log, resources, webhooks, auth, origins, limits })
  const keys = createKeys(cluster)
  const reader = createLogReader(redis, keys)
  const readEnd = async () => {
    const { epoch, last } = await reader.bounds()
    return { epoch, seq: last }
  }
  const sockets = createSockets({ context, app, limits, sleepAfter, readEnd, release, log })
  log.debug({}, 'a hub starts')

  const meter = createMeter(limits.requests)
  let settledAt = 0
  const settle = async () => {
    if (resources.every(isSettled) || Date.now() - settledAt < settleMs) return
    settledAt = Date.now()
    try {
      await settleResources(redis, keys, resources)
    } catch (error) {
      log.debug({ err: error }, 'what the watched names mean cannot be read')
    }
  }

  const fetch = async (request: Request) => {
    await settle()
    const isBusy = meter()
    const isStream = request.method === 'GET' && new URL(request.url).pathname.startsWith('/v1/events')
    // They have had their places before those who come now.
    if (isStream) await sockets.wake()
    let flow: Flow | undefined
    let client: WebSocket | undefined
    const response = await app.hono.fetch(request, {
      pour: (given) => (flow = given),
      upgrade(serve) {
        const accepted = sockets.accept()
        client = accepted.client
        serve(accepted.link)
        return new Response(null)
      },
    })
    if (isBusy) response.headers.set(roomHeader, 'busy')
    if (client !== undefined) return new Response(null, { status: 101, webSocket: client, headers: response.headers })
    if (flow !== undefined) return pour(flow, response, request.signal)
    const isFull = isStream && response.status === 503 && app.stats().subscribers >= limits.maxStreams
    if (isFull) response.headers.set(roomHeader, 'full')
    return response
  }
  return { fetch, sockets }
}
