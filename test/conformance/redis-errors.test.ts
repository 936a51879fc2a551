import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openRedis, type RedisConnection } from '../../infra/node/connect-redis.ts'
import { createSandbox } from '../../infra/sandbox/sandbox.ts'
import { createKeys } from '../../shared/keys.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import {
  type CountingReader,
  type CountingWriter,
  idsUpTo,
  readIds,
  startCountingReader,
  startCountingWriter,
} from '../support/counting.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { readCursor, readEvents, startTestWatcher } from '../support/watcher.ts'

/** However slow the machine is. */
const soon = { timeout: 20_000 }

const keys = createKeys('c')
const opened: RedisConnection[] = []
let server: TestRedis
let redis: RedisConnection
let writer: CountingWriter
let reader: CountingReader

function connect(): RedisConnection {
  const connection = openRedis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50, socketTimeout: 1500 })
  connection.on('error', () => undefined)
  opened.push(connection)
  return connection
}

beforeEach(async () => {
  server = await startTestRedis()
  redis = connect()
  writer = startCountingWriter({ redis: connect(), keys, feed: 'a', padding: 300 })
  const { epoch } = await createLogReader(redis, keys).bounds()
  reader = startCountingReader(connect, keys, { epoch, seq: 0 })
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(20)
})

afterEach(async () => {
  reader.stop()
  await writer.stop()
  for (const connection of opened.splice(0)) connection.disconnect()
  await server.stop()
})

/** The writer gets on, and log and reader agree: every number once, in order. */
async function expectWhole({ resets = 0 } = {}): Promise<void> {
  const before = writer.count()
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 20)
  await writer.stop()
  const ids = await readIds(redis, keys)
  // The last append may have been done without an answer.
  expect([writer.count(), writer.count() + 1]).toContain(ids.length)
  expect(ids).toEqual(idsUpTo('a', ids.length))
  await expect.poll(() => reader.ids(), soon).toEqual(ids)
  expect(reader.resets.length).toBeLessThanOrEqual(resets)
}

const until = (code: string) => expect.poll(() => writer.errors.join('\n'), soon).toContain(code)

describe('an append is repeated until it is done, once', () => {
  it('while the memory is used up', async () => {
    await redis.call('CONFIG', 'SET', 'maxmemory', 1)
    await until('OOM')
    const before = await readIds(redis, keys)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await readIds(redis, keys)).toEqual(before)
    await redis.call('CONFIG', 'SET', 'maxmemory', 0)
    await expectWhole()
  })

  it('while Redis cannot write to its disk', async () => {
    // A snapshot that fails stops all writes; it fails where its name belongs to a folder.
    await mkdir(join(server.folder, 'dump.rdb'))
    await redis.call('CONFIG', 'SET', 'save', '3600 1')
    await redis.call('BGSAVE')
    await until('MISCONF')
    await redis.call('CONFIG', 'SET', 'save', '')
    await expectWhole()
  })

  it('while the server is a replica', async () => {
    await redis.call('REPLICAOF', '127.0.0.1', 1)
    await until('READONLY')
    await redis.call('REPLICAOF', 'NO', 'ONE')
    await expectWhole()
  })

  it('after all scripts were forgotten', async () => {
    for (let n = 0; n < 5; n++) await redis.call('SCRIPT', 'FLUSH')
    await expectWhole()
  })

  it('while its connection is cut again and again', async () => {
    for (let n = 0; n < 10; n++) {
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    await expectWhole()
  })

  it('after a pause of the server that looks like its end', async () => {
    await server.kill('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 2000))
    await server.kill('SIGCONT')
    await expectWhole()
  })

  it('after the server was killed, and while it loads', async () => {
    for (let n = 0; n < 3; n++) {
      await server.restart()
      const before = writer.count()
      await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 5)
    }
    // What a kill takes with it had perhaps been read.
    await expectWhole({ resets: 3 })
    expect(new Set(writer.losses)).toEqual(new Set(['epoch']))
  })
})

it('the watcher holds what it has while the memory is used up, and says so', async () => {
  const sandbox = await createSandbox({ world: false, keepHistory: true, seed: 1 })
  const client = new Redis(server.url)
  const watcher = startTestWatcher({ server: sandbox.url, redisUrl: server.url, cluster: 'w', resources: 'pods' })
  try {
    await expect.poll(() => readCursor(client, 'w', 'pods'), soon).not.toBe('')
    await writer.stop()
    await client.config('SET', 'maxmemory', 1)
    for (let n = 0; n < 30; n++) {
      const pod = { metadata: { name: `p${n}`, namespace: 'shop' } }
      sandbox.store.put('pods', pod as Parameters<typeof sandbox.store.put>[1])
    }
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(await readEvents(client, 'w')).toEqual([])
    await client.config('SET', 'maxmemory', 0)
    const told = async () => (await readEvents(client, 'w')).map(({ subject }) => subject)
    await expect.poll(told, soon).toEqual(Array.from({ length: 30 }, (_, n) => `shop/p${n}`))
  } finally {
    await watcher.stop()
    client.disconnect()
    await sandbox.stop()
  }
})
