import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it } from 'vitest'
import { createSandbox } from '../../infra/sandbox/sandbox.ts'
import { createKeys } from '../../shared/keys.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { createSeen } from '../../shared/log/seen.ts'
import { createLogWriter } from '../../shared/log/writer.ts'
import { idsUpTo, readIds, startCountingReader, startCountingWriter } from '../support/counting.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { readCursor, readEvents, startTestWatcher } from '../support/watcher.ts'

/** However slow the machine is. */
const soon = { timeout: 20_000 }

const endings: (() => unknown)[] = []

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

async function startServer(): Promise<TestRedis> {
  const server = await startTestRedis()
  endings.push(() => server.stop())
  return server
}

function connect(url: string, { isPersistent = true } = {}): Redis {
  const forEver = { maxRetriesPerRequest: null, retryStrategy: () => 50 }
  const redis = new Redis(url, isPersistent ? forEver : { maxRetriesPerRequest: 0, retryStrategy: () => null })
  redis.on('error', () => undefined)
  endings.push(() => redis.disconnect())
  return redis
}

/** A copy of a server's data that can be put back later. */
async function copyData(server: TestRedis) {
  const copy = await mkdtemp(join(tmpdir(), 'relay-copy-'))
  endings.push(() => rm(copy, { recursive: true, force: true }))
  const data = join(server.folder, 'appendonlydir')
  await cp(data, copy, { recursive: true })
  return {
    async putBack() {
      await server.kill('SIGKILL')
      await rm(data, { recursive: true })
      await cp(copy, data, { recursive: true })
      await server.restart()
    },
  }
}

const keys = createKeys('c')

describe('a Redis whose older data was put back', () => {
  it('gives no old number to a new entry, even where a feed appends that lost nothing itself', async () => {
    const server = await startServer()
    const redis = connect(server.url)
    const b = startCountingWriter({ redis: connect(server.url), keys, feed: 'b' })
    await expect.poll(() => b.count(), soon).toBeGreaterThan(20)
    await b.stop()
    const a = startCountingWriter({ redis: connect(server.url), keys, feed: 'a' })
    await expect.poll(() => a.count(), soon).toBeGreaterThan(20)
    const { epoch } = await createLogReader(redis, keys).bounds()
    const witness = startCountingReader(() => connect(server.url), keys, { epoch, seq: 0 })
    endings.push(witness.stop)
    const copy = await copyData(server)
    const kept = a.count()
    await expect.poll(() => a.count(), soon).toBeGreaterThan(kept + 50)
    await a.stop()
    const before = await readIds(redis, keys)
    await expect.poll(() => witness.ids(), soon).toEqual(before)
    // Another reader stopped where nothing was lost.
    const unharmed = { epoch, seq: 10 }

    await copy.putBack()
    expect(await redis.xlen(keys.log)).toBeLessThan(before.length)
    const again = startCountingWriter({ redis: connect(server.url), keys, feed: 'b' })
    await expect.poll(() => redis.xlen(keys.log), soon).toBeGreaterThan(before.length + 50)
    await again.stop()

    const after = await readIds(redis, keys)
    await expect.poll(() => witness.ids(), soon).toEqual(after)
    expect(witness.resets.length).toBe(1)
    await expect(createLogReader(redis, keys).check(unharmed)).resolves.toMatchObject({ first: 1 })
    await expect(createLogReader(redis, keys).check({ epoch, seq: before.length })).rejects.toMatchObject({
      code: 'gone',
    })
  })

  it('is healed by the watcher from what is stored there, within 10 s', async () => {
    const server = await startServer()
    const redis = connect(server.url)
    const sandbox = await createSandbox({ world: false, keepHistory: true, seed: 1 })
    endings.push(() => sandbox.stop())
    const watcher = startTestWatcher({
      server: sandbox.url,
      redisUrl: server.url,
      cluster: 'c',
      resources: 'pods,leases',
    })
    endings.push(() => watcher.stop())
    const put = (n: number) =>
      sandbox.store.put('pods', { metadata: { name: `p${n}`, namespace: 'shop' } } as Parameters<
        typeof sandbox.store.put
      >[1])
    for (const resource of ['pods', 'leases']) {
      await expect.poll(() => readCursor(redis, 'c', resource), soon).not.toBe('')
    }
    const told = async () => (await readEvents(redis, 'c')).map(({ subject }) => subject)
    const upTo = (count: number) => Array.from({ length: count }, (_, n) => `shop/p${n}`)
    for (let n = 0; n < 5; n++) put(n)
    await expect.poll(told, soon).toEqual(upTo(5))
    const copy = await copyData(server)
    const { epoch } = await createLogReader(redis, keys).bounds()
    for (let n = 5; n < 9; n++) put(n)
    await expect.poll(told, soon).toEqual(upTo(9))

    await copy.putBack()
    // Nothing happens in the cluster: the watcher finds out by itself.
    await expect.poll(told, { timeout: 10_000 }).toEqual(upTo(9))
    expect((await createLogReader(redis, keys).bounds()).epoch).not.toBe(epoch)
    const states = async () => {
      const feeds = Object.values(await redis.hgetall(keys.own('status')))
      return feeds.map((status) => JSON.parse(status).state)
    }
    await expect.poll(states, soon).toEqual(['synced', 'synced'])
  })
})

it('a replica that is promoted after it missed writes has them written again, and tells who saw them', async () => {
  const [master, replica] = [await startServer(), await startServer()]
  let current = connect(master.url)
  const redis = { call: (command: string, ...args: (string | number)[]) => current.call(command, ...args) }
  const promoted = connect(replica.url)
  await current.config('SET', 'repl-diskless-sync-delay', 0)
  await promoted.config('SET', 'masterauth', new URL(master.url).password)
  await promoted.call('REPLICAOF', '127.0.0.1', master.port)
  // A server that gets its first replica begins a new history.
  await expect.poll(() => promoted.info('replication'), soon).toContain('master_link_status:up')
  const writer = startCountingWriter({ redis, keys, feed: 'a' })
  await expect.poll(() => promoted.xlen(keys.log), soon).toBeGreaterThan(50)
  // It loses touch with its master, and keeps what it has.
  await promoted.call('REPLICAOF', '127.0.0.1', 1)
  const missed = await promoted.xlen(keys.log)
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(missed + 50)
  const { epoch, last } = await createLogReader(redis, keys).bounds()
  const tail = () => connect(current === promoted ? replica.url : master.url, { isPersistent: false })
  const reader = startCountingReader(tail, keys, { epoch, seq: last })
  endings.push(reader.stop)

  await promoted.call('REPLICAOF', 'NO', 'ONE')
  const old = current
  current = promoted
  old.disconnect()
  await master.kill('SIGKILL')
  await expect.poll(() => promoted.xlen(keys.log), soon).toBeGreaterThan(last + 50)
  await writer.stop()
  const ids = await readIds(promoted, keys)
  expect(ids).toEqual(idsUpTo('a', ids.length))
  expect(writer.losses).toEqual(['epoch'])
  const bounds = await createLogReader(promoted, keys).bounds()
  expect(bounds.past).toEqual([{ epoch, seq: missed }])
  await expect.poll(() => reader.resets.length, soon).toBe(1)
})

it('a restart that loses nothing resets nobody', async () => {
  const server = await startServer()
  const redis = connect(server.url)
  const writer = startCountingWriter({ redis, keys, feed: 'a' })
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(20)
  const { epoch } = await createLogReader(redis, keys).bounds()
  const reader = startCountingReader(() => connect(server.url), keys, { epoch, seq: 0 })
  endings.push(reader.stop)
  await server.kill('SIGTERM')
  await server.restart()
  const before = writer.count()
  await expect.poll(() => writer.count(), soon).toBeGreaterThan(before + 20)
  await writer.stop()
  await expect.poll(() => reader.ids(), soon).toEqual(idsUpTo('a', writer.count()))
  expect(reader.resets).toEqual([])
  expect(reader.position().epoch).not.toBe(epoch)
})

it('a loss that no change of server explains is noticed by any feed of the process, and no old cursor is trusted', async () => {
  const server = await startServer()
  const redis = connect(server.url)
  const seen = createSeen()
  const open = (feed: string) => createLogWriter({ redis, keys, feed, resource: feed, keepEntries: 1000, seen })
  const [a, b] = [open('a'), open('b')]
  const [claimA, claimB] = [await a.claim('o', 60_000), await b.claim('o', 60_000)]
  if (claimA.held || claimB.held) throw new Error('held')
  const batch = {
    resourceVersion: '1',
    note: '',
    batch: 1,
    seen: 0,
    operations: [{ op: 'event', json: '{}' }],
  } as const
  const dumps = await Promise.all(
    [keys.meta, keys.feed('a')].map(async (key) => [key, await redis.dumpBuffer(key)] as const),
  )
  expect(await a.append({ ...batch, fence: claimA.fence, epoch: claimA.epoch })).toMatchObject({ outcome: 'ok' })
  for (const [key, dump] of dumps) await redis.restore(key, 0, dump, 'REPLACE')
  await redis.del(keys.log)

  expect(await b.append({ ...batch, fence: claimB.fence, epoch: claimB.epoch })).toEqual({ outcome: 'conflict' })
  await b.renewEpoch(claimB.fence)
  const { epoch, past } = await createLogReader(redis, keys).bounds()
  expect(epoch).not.toBe(claimB.epoch)
  expect(past).toEqual([])
  // The other feed finds the new epoch, and starts over from what is stored.
  expect(await a.append({ ...batch, fence: claimA.fence, epoch: claimA.epoch })).toEqual({ outcome: 'epoch' })
  expect(await a.claim('o', 60_000)).toMatchObject({ seq: 0, batch: 0 })
})
