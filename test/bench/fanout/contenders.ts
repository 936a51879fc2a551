import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { Redis } from 'ioredis'
import { Agent, request } from 'undici'
import type { Limits } from '../../../functions/limits.ts'
import { findFreePort } from '../../../infra/redis/server.ts'
import { createKeys } from '../../../shared/keys.ts'
import { createLogWriter } from '../../../shared/log/writer.ts'
import { startTestRedis } from '../../support/redis.ts'
import { startChild } from './child.ts'

/** A server that fans events out. */
export interface Contender {
  readonly port: number
  readonly path: string
  publish(events: readonly string[]): Promise<void>
  /** Resident memory in bytes, where it can be told. */
  memory(): Promise<number>
  stop(): Promise<void>
}

/** What serves the log. */
export type RelayServer = Pick<Contender, 'port' | 'memory' | 'stop'>

/** The relay: from the log in Redis, durable, to its readers. */
export async function startRelay(
  startServer: (redisUrl: string) => Promise<RelayServer> = (url) => startOnNode(url),
): Promise<Contender> {
  const store = await startTestRedis()
  const redis = new Redis(store.url)
  const limits = { keepEntries: 1_000_000 }
  const writer = createLogWriter({ redis, keys: createKeys('bench'), feed: 'bench', resource: 'pods', ...limits })
  const claim = await writer.claim('bench', 3_600_000)
  if (claim.held) throw new Error('the log is held by another')
  let { batch, seq } = claim
  const server = await startServer(store.url)
  return {
    port: server.port,
    memory: server.memory,
    path: '/v1/events',
    async publish(events) {
      const answer = await writer.append({
        fence: claim.fence,
        epoch: claim.epoch,
        batch: ++batch,
        seen: seq,
        resourceVersion: String(batch),
        note: '',
        operations: events.map((json) => ({ op: 'event' as const, json })),
      })
      if (answer.outcome !== 'ok') throw new Error(`the log answers ${answer.outcome}`)
      seq = answer.to
    },
    async stop() {
      await server.stop()
      redis.disconnect()
      await store.stop()
    },
  }
}

/** @param limits what differs from the standard. */
export async function startOnNode(redisUrl: string, limits: Partial<Limits> = {}): Promise<RelayServer> {
  const server = startChild('server.ts', ['relay', redisUrl, '0', JSON.stringify(limits)], ['--expose-gc'])
  const { port } = await server.hear<{ port: number }>('listening')
  return {
    port,
    async memory() {
      const told = server.hear<{ bytes: number }>('memory')
      server.send({ type: 'memory' })
      return (await told).bytes
    },
    stop: () => server.end(),
  }
}

/** Another server of `server.ts`. */
export async function startPeer(kind: 'hono-streamsse' | 'bare-node'): Promise<Contender> {
  const server = startChild('server.ts', [kind], ['--expose-gc'])
  const { port } = await server.hear<{ port: number }>('listening')
  const agent = new Agent()
  return {
    port,
    path: '/events',
    async publish(events) {
      const url = `http://127.0.0.1:${port}/publish`
      const { body } = await request(url, { method: 'POST', body: events.join('\n'), dispatcher: agent })
      await body.dump()
    },
    async memory() {
      const told = server.hear<{ bytes: number }>('memory')
      server.send({ type: 'memory' })
      return (await told).bytes
    },
    async stop() {
      await agent.close()
      await server.end()
    },
  }
}

/** nginx on PATH with the module nchan beside it; undefined where there is none. */
export function findNchan(): { program: string; modules: string } | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const program = join(folder, 'nginx')
    const modules = join(dirname(folder), 'lib', 'nginx', 'modules')
    if (existsSync(program) && existsSync(join(modules, 'ngx_nchan_module.so'))) return { program, modules }
  }
  return existsSync('/usr/sbin/nginx') && existsSync('/usr/lib/nginx/modules/ngx_nchan_module.so')
    ? { program: '/usr/sbin/nginx', modules: '/usr/lib/nginx/modules' }
    : undefined
}

/** nginx with nchan: one worker, as the others are one process each. */
export async function startNchan({ program, modules }: { program: string; modules: string }): Promise<Contender> {
  const folder = await mkdtemp(join(tmpdir(), 'relay-nchan-'))
  const port = await findFreePort()
  const modulesToLoad = ['ndk_http_module.so', 'ngx_nchan_module.so'].filter((name) => existsSync(join(modules, name)))
  await writeFile(
    join(folder, 'nginx.conf'),
    `${modulesToLoad.map((name) => `load_module ${join(modules, name)};`).join('\n')}
daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 15000; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi; uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  nchan_shared_memory_size 512M;
  server {
    listen 127.0.0.1:${port}; keepalive_requests 1000000;
    location = /events { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message newest; }
    location = /publish { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 5000; }
  }
}
`,
  )
  const nginx = spawn(program, ['-p', folder, '-c', join(folder, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const exited = new Promise<void>((resolve) => nginx.once('exit', () => resolve()))
  const agent = new Agent({ connections: 20 })
  const send = async (body: string) => {
    const answer = await request(`http://127.0.0.1:${port}/publish`, { method: 'POST', body, dispatcher: agent })
    await answer.body.dump()
  }
  for (let tries = 0; ; tries++) {
    try {
      await send('warm')
      break
    } catch (error) {
      if (tries === 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  return {
    port,
    path: '/events',
    async publish(events) {
      await Promise.all(events.map(send))
    },
    memory: async () => 0,
    async stop() {
      await agent.close()
      nginx.kill('SIGTERM')
      await exited
      await rm(folder, { recursive: true, force: true })
    },
  }
}
