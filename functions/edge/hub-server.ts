import { createKeys } from '../../shared/keys.ts'
import { settleResources } from '../../shared/resolution.ts'
import { isSettled } from '../../shared/resource.ts'
import { createApp } from '../app.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import type { Flow } from '../streams/subscription.ts'
import type { EdgeEnvironment } from './environment.ts'
import { createLink } from './link.ts'
import { createConsoleLogger } from './log.ts'
import { pour } from './pour.ts'
import { reachRedis } from './redis.ts'
import { readSettings } from './settings.ts'

/** Set on the refusal of a hub that has as many subscribers as it may: another one may take this one. */
export const fullHeader = 'relay-hub-full'

/** An object has 128 MB for everything. */
const hubLimits: Partial<Limits> = { maxStreams: 2_000, ring: 4 * 1024 * 1024, linger: 5_000 }
/** How often Redis is asked what names mean that only the watcher can find out, in ms; never where all are certain. */
const settleMs = 1_000

/**
 * Serves the functions in a Durable Object. It holds connections to Redis while somebody asks or listens; afterwards nothing
 * keeps it awake, and whoever comes next finds everything again by its cursor.
 */
export function serveHub(env: EdgeEnvironment): (request: Request) => Promise<Response> {
  const settings = readSettings(env)
  const { cluster, auth, origins, resources } = settings
  const limits = { ...defaultLimits, ...hubLimits, ...env.HUB_LIMITS }
  const log = createConsoleLogger(settings.logLevel)
  const { redis, connect } = reachRedis(settings.redisUrl, { token: settings.redisToken, rest: limits.linger })
  const webhooks = { encryptionKey: settings.secretKey, policy: settings.policy }
  const app = createApp({ cluster, redis, connect, log, resources, webhooks, auth, origins, limits })

  let settledAt = 0
  const settle = async () => {
    if (resources.every(isSettled) || Date.now() - settledAt < settleMs) return
    settledAt = Date.now()
    try {
      await settleResources(redis, createKeys(cluster), resources)
    } catch (error) {
      log.debug({ err: error }, 'what the watched names mean cannot be read')
    }
  }

  return async (request) => {
    await settle()
    let flow: Flow | undefined
    let client: WebSocket | undefined
    const response = await app.hono.fetch(request, {
      pour: (given) => (flow = given),
      upgrade(serve) {
        const pair = new WebSocketPair()
        client = pair[0]
        serve(createLink(pair[1], limits.chunk))
        return new Response(null)
      },
    })
    if (client !== undefined) return new Response(null, { status: 101, webSocket: client })
    if (flow !== undefined) return pour(flow, response, request.signal)
    const isFull = response.status === 503 && app.stats().subscribers >= limits.maxStreams
    if (isFull) response.headers.set(fullHeader, '1')
    return response
  }
}
