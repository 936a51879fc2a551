import { Cluster } from 'ioredis'
import pino from 'pino'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRedis, type RedisConnection } from '../../infra/node/connect-redis.ts'
import { createKeys } from '../../shared/keys.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { createScript } from '../../shared/redis.ts'
import { createDeliveryQueue } from '../../workers/deliverer/queue.ts'
import { idsUpTo, readIds, startCountingReader, startCountingWriter } from '../support/counting.ts'
import { startTestRedisCluster, type TestRedisCluster } from '../support/redis-cluster.ts'

/** However slow the machine is. */
const soon = { timeout: 20_000 }

let cluster: TestRedisCluster
let redis: RedisConnection
const opened: RedisConnection[] = []

/** Names of clusters whose keys lie on the first node, which has a replica. */
const names: string[] = []

beforeAll(async () => {
  cluster = await startTestRedisCluster({ replicas: 1 })
  redis = connect()
  for (let n = 0; names.length < 2; n++) {
    const slot = Number(await redis.call('CLUSTER', 'KEYSLOT', createKeys(`c${n}`).meta))
    if (slot < 5461) names.push(`c${n}`)
  }
})

afterAll(async () => {
  for (const connection of opened) connection.disconnect()
  await cluster.stop()
})

function connect(): RedisConnection {
  const connection = openRedis(cluster.url, { maxRetriesPerRequest: null, retryStrategy: () => 100 })
  connection.on('error', () => undefined)
  opened.push(connection)
  return connection
}

it('runs a script on the node of its keys, known to it or not, without being redirected', async () => {
  expect(redis).toBeInstanceOf(Cluster)
  const script = createScript("return redis.call('INCR', KEYS[1])")
  for (let n = 0; n < 30; n++) expect(await script.run(redis, [`{t${n}}:a`, `{t${n}}:b`], [])).toBe(1)
  const nodes = (redis as Cluster).nodes('master')
  expect(nodes.length).toBe(3)
  for (const node of nodes) {
    expect(Number(/total_commands_processed:(\d+)/.exec(await node.info('stats'))?.[1])).toBeGreaterThan(0)
    expect(await node.info('errorstats')).not.toContain('MOVED')
  }
})

it('keeps the queue of deliveries in the slot of the log', async () => {
  const keys = createKeys('queue')
  const queue = createDeliveryQueue(connect(), keys, (error) => pino().error(error))
  const ids = await queue.enqueue([{ webhook: 'w', epoch: 'e', group: 'g', attempt: 0, seqs: [1] }])
  expect(ids.length).toBe(1)
  await queue.close()
})

it('follows a slot that moves to another node: nobody is reset', async () => {
  const keys = createKeys(names[0] ?? '')
  const slot = Number(await redis.call('CLUSTER', 'KEYSLOT', keys.meta))
  const writer = startCountingWriter({ redis, keys, feed: 'a', pauseMs: 2 })
  const { epoch } = await createLogReader(connect(), keys).bounds()
  const reader = startCountingReader(connect, keys, { epoch, seq: 0 })
  for (const [from, to] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const before = writer.count()
    await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 50)
    await cluster.move(slot, from, to)
  }
  const before = writer.count()
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 50)
  await writer.stop()
  const ids = await readIds(redis, keys)
  expect(ids).toEqual(idsUpTo('a', ids.length))
  await expect.poll(() => reader.ids(), soon).toEqual(ids)
  expect(reader.resets).toEqual([])
  reader.stop()
})

it('goes on with a replica after its master was killed: nothing is lost in silence', async () => {
  const keys = createKeys(names[1] ?? '')
  const writer = startCountingWriter({ redis, keys, feed: 'a', pauseMs: 2 })
  const { epoch } = await createLogReader(connect(), keys).bounds()
  const reader = startCountingReader(connect, keys, { epoch, seq: 0 })
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(50)

  await cluster.nodes[0]?.kill('SIGKILL')
  const before = writer.count()
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 50)
  await writer.stop()
  const ids = await readIds(redis, keys)
  expect(ids).toEqual(idsUpTo('a', ids.length))
  expect(ids.length).toBeGreaterThanOrEqual(writer.count())
  await expect.poll(() => reader.ids().at(-1), soon).toBe(ids.at(-1))
  const start = reader.resets.at(-1)?.seq ?? 0
  expect(reader.ids()).toEqual(ids.slice(start))
  const bounds = await createLogReader(redis, keys).bounds()
  expect(bounds.epoch).not.toBe(epoch)
  expect(bounds.past.map((past) => past.epoch)).toEqual([epoch])
  reader.stop()
})
