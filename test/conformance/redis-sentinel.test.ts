import { afterAll, beforeAll, expect, it } from 'vitest'
import { openRedis, type RedisConnection } from '../../infra/node/connect-redis.ts'
import { createKeys } from '../../shared/keys.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { idsUpTo, readIds, startCountingReader, startCountingWriter } from '../support/counting.ts'
import { startTestSentinels, type TestSentinels } from '../support/redis-sentinel.ts'

/** However slow the machine is. */
const soon = { timeout: 20_000 }

let sentinels: TestSentinels
const opened: RedisConnection[] = []

beforeAll(async () => {
  sentinels = await startTestSentinels()
})

afterAll(async () => {
  for (const connection of opened) connection.disconnect()
  await sentinels.stop()
})

function connect(): RedisConnection {
  const connection = openRedis(sentinels.url, { maxRetriesPerRequest: null, retryStrategy: () => 100 })
  connection.on('error', () => undefined)
  opened.push(connection)
  return connection
}

it('goes on with the new master after the old one was killed: nothing is lost in silence', async () => {
  const redis = connect()
  const others = Array.from({ length: 12 }, connect)
  await Promise.all(others.map((other) => other.ping()))
  const keys = createKeys('s')
  const writer = startCountingWriter({ redis, keys, feed: 'a' })
  const { epoch } = await createLogReader(connect(), keys).bounds()
  const reader = startCountingReader(connect, keys, { epoch, seq: 0 })
  await expect.poll(() => reader.ids().length, soon).toBeGreaterThan(50)
  expect(await sentinels.currentPort()).toBe(sentinels.master.port)

  await sentinels.master.kill('SIGKILL')
  const before = writer.count()
  await expect.poll(() => sentinels.currentPort(), soon).toBe(sentinels.replica.port)
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 50)
  expect(writer.losses).toEqual(['epoch'])
  await writer.stop()

  const ids = await readIds(redis, keys)
  expect(ids).toEqual(idsUpTo('a', ids.length))
  await expect.poll(() => reader.ids().at(-1), soon).toBe(ids.at(-1))
  expect(reader.ids()).toEqual(ids.slice(reader.resets.at(-1)?.seq ?? 0))
  reader.stop()
  // A failover comes at any moment of a reconnection: none of them may end it.
  expect(await Promise.all(others.map((other) => other.ping()))).toEqual(others.map(() => 'PONG'))
})
