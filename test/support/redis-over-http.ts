import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A server that takes Redis commands over HTTP, before a real Redis. */
export interface RedisOverHttp {
  readonly url: string
  readonly token: string
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('redis-over-http/main.ts', import.meta.url))

/** @param authority a file with the certificate of whoever vouches for the Redis server. */
export async function startRedisOverHttp(redisUrl: string, authority?: string): Promise<RedisOverHttp> {
  const token = 'a-token'
  const env = authority === undefined ? process.env : { ...process.env, NODE_EXTRA_CA_CERTS: authority }
  const child: ChildProcess = fork(main, [redisUrl, token], { env })
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  return {
    url,
    token,
    async stop() {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}
