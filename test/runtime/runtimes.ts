import { Redis } from 'ioredis'
import type { AuthSettings } from '../../functions/auth/choose.ts'
import type { Limits } from '../../functions/limits.ts'
import { startServe } from '../../functions/node.ts'
import type { Logger } from '../../shared/role.ts'
import { createWriter, type SampleWriter, serveConfig } from '../functions/serving.ts'
import { startTestEdge } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

/** The functions on one runtime, over real sockets and a real Redis. */
export interface Running {
  readonly url: string
  readonly redis: TestRedis
  readonly client: Redis
  createWriter(resource?: 'pods' | 'leases', keepEntries?: number): Promise<SampleWriter>
  /** Number of open streams, as `/readyz` tells. */
  countStreams(): Promise<number>
  /** Ends whatever serves, and lets another go on: on the same port, with nothing but Redis in common. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export interface RunOptions {
  readonly limits?: Partial<Limits>
  readonly auth?: Exclude<AuthSettings, { mode: 'kubernetes' }>
  readonly origins?: readonly string[]
}

/** A place where the functions run. */
export interface Runtime {
  readonly name: string
  start(options?: RunOptions): Promise<Running>
}

const ignore = () => undefined
const log: Logger = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: console.error, child: () => log }

/** All of them: what one promises, the others keep. */
export const runtimes: readonly Runtime[] = [
  {
    name: 'Node',
    start: (options = {}) =>
      run(async (redisUrl) => {
        let server = await startServe({ ...serveConfig, redisUrl }, log, options)
        const { url = '' } = server.about
        const port = Number(new URL(url).port)
        return {
          url,
          async restart() {
            await server.stop()
            server = await startServe({ ...serveConfig, redisUrl, port }, log, options)
          },
          stop: () => server.stop(),
        }
      }),
  },
  {
    name: 'workerd',
    start: ({ limits = {}, auth = { mode: 'none' }, origins = [] } = {}) =>
      run(async (redisUrl) => {
        const vars: Record<string, string> = { RELAY_AUTH: auth.mode, RELAY_CORS_ORIGINS: origins.join(',') }
        if (auth.mode === 'jwt') {
          vars.RELAY_JWT_ISSUER = auth.issuer ?? ''
          vars.RELAY_JWT_JWKS = auth.jwks ?? ''
        }
        const edge = await startTestEdge({ redisUrl, limits, vars })
        return { url: edge.url, restart: edge.reload, stop: edge.stop }
      }),
  },
]

async function run(start: (redisUrl: string) => Promise<Pick<Running, 'url' | 'restart' | 'stop'>>): Promise<Running> {
  const redis = await startTestRedis()
  const client = new Redis(redis.url)
  client.on('error', ignore)
  const { url, restart, stop } = await start(redis.url)
  return {
    url,
    redis,
    client,
    restart,
    createWriter: (resource = 'pods', keepEntries = 100_000) => createWriter(client, resource, keepEntries),
    async countStreams() {
      const answer = (await (await fetch(`${url}/readyz`)).json()) as { streams: number }
      return answer.streams
    },
    async stop() {
      await stop()
      client.disconnect()
      await redis.stop()
    },
  }
}
