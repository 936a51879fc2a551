import { KubeConfig } from '@kubernetes/client-node'
import { Redis } from 'ioredis'
import pino from 'pino'
import type { ObjectData, RelayEvent } from '../../shared/event.ts'
import { createKeys } from '../../shared/keys.ts'
import { nameFeed, parseResources } from '../../shared/resource.ts'
import { createStateReader, type StatePage } from '../../shared/state.ts'
import type { Clock } from '../../workers/clock.ts'
import { createKubeClient } from '../../workers/kube/client.ts'
import { createStatusBoard } from '../../workers/watcher/status-board.ts'
import { createStore } from '../../workers/watcher/store.ts'
import { watchResource } from '../../workers/watcher/watcher.ts'

/** A watcher inside the test's process, with its own connections to a real Redis and a real API server. */
export interface TestWatcher {
  /** Ends it as a polite stop does. */
  stop(): Promise<void>
  /** Ends its connection to Redis, as a crash would: nothing is flushed, no claim given back. */
  crash(): void
}

/** Starts a watcher of these resources. */
export function startTestWatcher(options: {
  server: string
  redisUrl: string
  cluster: string
  resources: string
  keepEntries?: number
  clock?: Clock
  /** Of watches, in seconds. */
  leastTimeoutSeconds?: number
}): TestWatcher {
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server: options.server, skipTLSVerify: true }, { name: 'u' })
  const client = createKubeClient(config, 'test')
  const redis = new Redis(options.redisUrl, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  redis.on('error', () => undefined)
  const keys = createKeys(options.cluster)
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' }, pino.destination(2))
  const board = createStatusBoard(redis, keys, log)
  const stopping = new AbortController()
  const deps = {
    client,
    store: createStore({ redis, keys, keepEntries: options.keepEntries ?? 100_000 }),
    cluster: options.cluster,
    owner: `test-${Math.random()}`,
    board,
    log,
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    ...(options.leastTimeoutSeconds === undefined ? {} : { leastTimeoutSeconds: options.leastTimeoutSeconds }),
  }
  const feeds = parseResources(options.resources).map((watched) => watchResource(watched, deps, stopping.signal))
  return {
    async stop() {
      stopping.abort()
      await Promise.all(feeds)
      board.stop()
      await client.close()
      redis.disconnect()
    },
    crash() {
      redis.disconnect()
      board.stop()
      stopping.abort()
      void client.close()
    },
  }
}

/** Lets the next watcher claim at once what a crashed one still holds, as if its lease had run out. */
export async function expireClaims(redis: Redis, cluster: string, resources: string): Promise<void> {
  const keys = createKeys(cluster)
  for (const watched of parseResources(resources)) await redis.hset(keys.feed(nameFeed(watched)), 'until', '0')
}

/** Everything in the log, oldest first. */
export async function readEvents(redis: Redis, cluster: string): Promise<RelayEvent[]> {
  const entries = await redis.xrange(createKeys(cluster).log, '-', '+')
  return entries.map(([, fields]) => JSON.parse(fields[1] ?? '') as RelayEvent)
}

/** The resourceVersion up to which a feed is in the log; empty before the first sync. */
export async function readCursor(redis: Redis, cluster: string, resource: string): Promise<string> {
  const [watched] = parseResources(resource)
  if (watched === undefined) return ''
  return (await redis.hget(createKeys(cluster).feed(nameFeed(watched)), 'rv')) ?? ''
}

/** The current objects of a resource as the relay knows them, by `<namespace>/<name>`. */
export async function readKnown(redis: Redis, cluster: string, resource: string): Promise<Map<string, ObjectData>> {
  const state = createStateReader(redis, createKeys(cluster))
  const known = new Map<string, ObjectData>()
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: StatePage<ObjectData> = await state.page<ObjectData>(resource, {
      limit: 1000,
      ...(after === '' ? {} : { after }),
    })
    for (const { key, data } of page.objects) known.set(key, data)
    after = page.next
  }
  return known
}
