import { createKeys } from '../../shared/keys.ts'
import { settleResources } from '../../shared/resolution.ts'
import { isSettled, parseConfigured } from '../../shared/resource.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { type App, createApp } from '../app.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import type { SocketMemory } from '../streams/socket.ts'
import type { Flow } from '../streams/subscription.ts'
import type { EdgeEnvironment } from './environment.ts'
import { createConsoleLogger } from './log.ts'
import { pour } from './pour.ts'
import { reachRedis } from './redis.ts'
import { readSettings } from './settings.ts'
import { createSockets } from './sockets.ts'

/** What an object answers with. */
export interface HubServer {
  fetch(request: Request): Promise<Response>
  hear(socket: WebSocket, message: string | ArrayBuffer): void
  /** @param code what the client closed it with, if it said so. */
  leave(socket: WebSocket, code?: number): void
}

/** Set on the refusal of a hub that has as many subscribers as it may: another one may take this one. */
export const fullHeader = 'relay-hub-full'

/** An object has 128 MB for everything, and its clock stands still while code runs, so that it cannot tell how long writes take. */
const hubLimits: Partial<Limits> = { maxStreams: 2_000, ring: 4 * 1024 * 1024, linger: 5_000, coalesce: 20 }
/** How often Redis is asked what names mean that only the watcher can find out, in ms; never where all are certain. */
const settleMs = 1_000

/**
 * Serves the functions in a Durable Object. It holds connections to Redis while somebody asks or listens; afterwards nothing
 * keeps it awake, and the next request finds everything again by its cursor.
 */
export function serveHub(context: DurableObjectState, env: EdgeEnvironment): HubServer {
  const settings = readSettings(env)
  const { cluster, auth, origins, allowCidrs, allowHttp } = settings
  const limits = { ...defaultLimits, ...hubLimits, ...env.HUB_LIMITS }
  const log = createConsoleLogger(settings.logLevel)
  const resources = parseConfigured(settings.resources)
  const { redis, connect } = reachRedis(settings.redisUrl, { token: settings.redisToken, rest: limits.linger, log })
  const policy = createAddressPolicy({ allowCidrs, allowHttp })
  const webhooks = { encryptionKey: settings.secretKey, policy }
  const app: App = createApp({ cluster, redis, connect, log, resources, webhooks, auth, origins, limits })
  const sockets = createSockets(limits)

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

  // Connections that outlived the object that served them go on after what was sent last.
  for (const socket of context.getWebSockets()) {
    const memory = socket.deserializeAttachment() as SocketMemory | null
    if (memory === null) socket.close(1012)
    else app.resumeSocket(sockets.link(socket), memory)
  }

  return {
    async fetch(request) {
      await settle()
      let flow: Flow | undefined
      let client: WebSocket | undefined
      const response = await app.hono.fetch(request, {
        pour: (given) => (flow = given),
        upgrade(serve) {
          const pair = new WebSocketPair()
          client = pair[0]
          context.acceptWebSocket(pair[1])
          serve(sockets.link(pair[1]))
          return new Response(null)
        },
      })
      if (client !== undefined) return new Response(null, { status: 101, webSocket: client })
      if (flow !== undefined) return pour(flow, response, request.signal)
      const isFull = response.status === 503 && app.stats().subscribers >= limits.maxStreams
      if (isFull) response.headers.set(fullHeader, '1')
      return response
    },
    hear: (socket, message) => sockets.hear(socket, message),
    leave: (socket, code) => sockets.leave(socket, code),
  }
}
