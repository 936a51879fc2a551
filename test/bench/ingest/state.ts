import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createKeys } from '../../../shared/keys.ts'
import { startTestRedis } from '../../support/redis.ts'
import type { Row } from '../bench.ts'
import { type Child, startChild } from './child.ts'
import type { Order } from './file-server.ts'
import type { Workload } from './workload.ts'

const pods = 150_000
const changedEvery = 100

/** Starts a watcher on a large cluster, then lets the server forget its history: what both cost. */
export async function* measureState(
  server: Child,
  url: string,
  tell: (server: Child, order: Order) => Promise<void>,
): AsyncGenerator<Row> {
  const workload: Workload = {
    kind: 'pods',
    shape: 'initial',
    objects: pods,
    frames: pods,
    firstVersion: 1_000_000_000,
  }
  await tell(server, { type: 'initial', workload })
  const bare = await timeBareParse(url)
  const store = await startTestRedis({ appendfsync: 'everysec' })
  const redis = new Redis(store.url)
  const keys = createKeys('bench')
  const feed = keys.feed('/api/v1/pods')
  const started = performance.now()
  const watcher = startChild('watcher.ts', [url, store.url, 'pods'])
  const cursor = async () => (await redis.hget(feed, 'rv')) ?? ''
  const reach = async (before: string) => {
    while ((await cursor()) === before) await Promise.race([sleep(20), watcher.failed])
  }
  const since = (moment: number) => (performance.now() - moment) / 1000
  try {
    await reach('')
    yield {
      case: '150,000 pods: cold start',
      value: since(started),
      unit: 's',
      ratios: { 'bare-parse': bare / since(started) },
    }
    const known = await redis.hlen(keys.objects('pods'))
    if (known !== pods) throw new Error(`${pods} pods became ${known} known ones`)
    yield* measureMemory(watcher, 'after the first sync')

    await tell(server, { type: 'initial', workload: { ...workload, changedEvery } })
    const before = await cursor()
    const forgotten = performance.now()
    await tell(server, { type: 'forget' })
    await reach(before)
    yield {
      case: '150,000 pods: relist, 1 % changed',
      value: since(forgotten),
      unit: 's',
      ratios: { 'bare-parse': bare / since(forgotten) },
    }
    const events = Number(await redis.hget(keys.meta, 'seq'))
    const expected = pods / changedEvery + 1
    if (events !== expected) throw new Error(`the relist became ${events} events instead of ${expected}`)
    yield* measureMemory(watcher, 'after the relist')
  } finally {
    await watcher.end()
    redis.disconnect()
    await store.stop()
  }
}

/** From the start of a process that does nothing else to the last frame of the same list. */
async function timeBareParse(url: string): Promise<number> {
  const began = performance.now()
  const child = startChild('peer.ts', ['bare-parse-list', url, '/api/v1/pods', String(pods)])
  try {
    await child.hear('finished')
    return (performance.now() - began) / 1000
  } finally {
    await child.end()
  }
}

async function* measureMemory(watcher: Child, when: string): AsyncGenerator<Row> {
  // A while, for the collector to give back what the list needed.
  await sleep(3000)
  const answer = watcher.hear<{ type: 'memory'; now: number; most: number }>('memory')
  watcher.send({ type: 'memory' })
  const { now, most } = await answer
  yield { case: `150,000 pods: RSS ${when}`, value: now, unit: 'MB', ratios: {} }
  yield { case: `150,000 pods: peak RSS ${when}`, value: most, unit: 'MB', ratios: {} }
}
