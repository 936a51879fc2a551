import { Redis } from 'ioredis'
import { createKeys } from '../../../shared/keys.ts'
import { startTestRedis } from '../../support/redis.ts'
import { median, type Row } from '../bench.ts'
import { type Child, startChild } from './child.ts'
import type { Order } from './file-server.ts'

const frames = 200
const everyMs = 10

/** From the frame's way out of the server to its entry in a stream, one frame at a time; beside it, a parse and a bare XADD. */
export async function* measureLatency(
  server: Child,
  url: string,
  tell: (server: Child, order: Order) => Promise<void>,
): AsyncGenerator<Row> {
  const firstVersion = 2_000_000_000
  const workload = { kind: 'pods', shape: 'lifecycle', objects: frames, frames, firstVersion } as const
  await tell(server, { type: 'changes', workload })
  const path = '/api/v1/pods'
  const relay = await measure(server, tell, createKeys('bench').log, (redis) => ['watcher.ts', [url, redis, 'pods']])
  const bare = await measure(server, tell, 'bare', (redis) => ['peer.ts', ['bare-append', url, path, '0', redis]])
  yield { case: 'idle: change to log', value: relay, unit: 'ms', ratios: { 'bare-append': relay / bare } }
  yield { case: 'idle: change to log, added', value: relay - bare, unit: 'ms', ratios: {} }
}

async function measure(
  server: Child,
  tell: (server: Child, order: Order) => Promise<void>,
  stream: string,
  reader: (redisUrl: string) => [module: string, args: string[]],
): Promise<number> {
  await tell(server, { type: 'rewind' })
  const store = await startTestRedis({ appendfsync: 'everysec' })
  const redis = new Redis(store.url)
  const child = startChild(...reader(store.url))
  const sent: number[] = []
  server.on<{ type: 'sent'; at: number }>('sent', ({ at }) => void sent.push(at))
  try {
    // Long enough to start and to be in sync.
    await Promise.race([new Promise((resolve) => setTimeout(resolve, 4000)), child.failed])
    server.send({ type: 'drip', frames, everyMs })
    const seen: number[] = []
    for (let last = '0'; seen.length < frames; ) {
      const answer = await redis.xread('BLOCK', 10_000, 'STREAMS', stream, last)
      const entries = answer?.[0]?.[1]
      if (entries === undefined) throw new Error(`${seen.length} of ${frames} changes came`)
      for (const [id] of entries) {
        seen.push(performance.timeOrigin + performance.now())
        last = id
      }
    }
    return median(seen.map((at, i) => at - (sent[i] ?? at)))
  } finally {
    await child.end()
    redis.disconnect()
    await store.stop()
  }
}
