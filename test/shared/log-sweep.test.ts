import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { createKeys, type Keys } from '../../shared/keys.ts'
import { sweepFeeds } from '../../shared/log/sweep.ts'
import { createLogWriter } from '../../shared/log/writer.ts'
import { createStateReader } from '../../shared/state.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let server: TestRedis
let redis: Redis
let keys: Keys
let runs = 0

beforeAll(async () => {
  server = await startTestRedis()
  redis = new Redis(server.url)
})

afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

beforeEach(() => {
  keys = createKeys(`c${++runs}`)
})

const day = 86_400_000

/** A feed that knows some objects, and was last claimed so long ago. */
async function addFeed(feed: string, namespace: string | undefined, names: string[], age = 0, resource = 'pods') {
  const writer = createLogWriter({ redis, keys, feed, resource, namespace, keepEntries: 10 })
  const claim = await writer.claim('o', 60_000)
  if (claim.held) throw new Error('held')
  const { fence, epoch, batch, seq: seen } = claim
  const operations = names.map((key) => ({ op: 'set', key, record: '{"term":{"holder":"me"}}' }) as const)
  await writer.append({ fence, epoch, batch: batch + 1, seen, resourceVersion: '7', note: '', operations })
  for (const key of names) await redis.zadd(keys.holds, 0, `me\n${key}`)
  await redis.zadd(keys.feeds, Date.now() - age, feed)
}

const known = async (resource = 'pods') =>
  (await createStateReader(redis, keys).page(resource, { limit: 10_000 })).objects.map(({ key }) => key)
const sweep = () => sweepFeeds({ redis, keys, unclaimedMs: 7 * day })

it('leaves everything to feeds that are claimed', async () => {
  await addFeed('a', undefined, ['shop/1', '/node'], 6 * day)
  expect(await sweep()).toEqual([])
  expect(await known()).toEqual(['/node', 'shop/1'])
})

it('removes a feed that nobody claims any more, with all that it knew', async () => {
  const names = Array.from({ length: 1200 }, (_, n) => `shop/p${n}`)
  await addFeed('old', undefined, names, 8 * day)
  await addFeed('other', undefined, ['shop/p1'], 0, 'leases')
  expect(await sweep()).toEqual(['old'])
  expect(await known()).toEqual([])
  expect(await known('leases')).toEqual(['shop/p1'])
  expect(await redis.exists(keys.feed('old'), keys.objects('pods'), keys.index('pods'))).toBe(0)
  expect(await redis.exists(keys.feed('other'))).toBe(1)
  expect(await sweep()).toEqual([])
})

it('removes only what no other feed covers', async () => {
  await addFeed('all', undefined, ['blog/1', 'shop/1', 'shop-2/1', 'shop/2'], 8 * day)
  await addFeed('shop', 'shop', ['shop/1'])
  expect(await sweep()).toEqual(['all'])
  expect(await known()).toEqual(['shop/1', 'shop/2'])
  expect(await redis.call('ZRANGE', keys.holds, 0, -1)).toEqual(['me\nshop/1', 'me\nshop/2'])
})

it('keeps the objects of a namespace that a wider feed took over', async () => {
  await addFeed('shop', 'shop', ['shop/1'], 8 * day)
  await addFeed('all', undefined, ['blog/1'])
  expect(await sweep()).toEqual(['shop'])
  expect(await known()).toEqual(['blog/1', 'shop/1'])
})

it('removes nothing of a feed that comes back while it is at work', async () => {
  await addFeed('old', undefined, ['shop/1'], 8 * day)
  const client = {
    async call(command: string, ...args: (string | number)[]) {
      const answer = await redis.call(command, ...args)
      if (command === 'ZRANGEBYLEX') await redis.zadd(keys.feeds, Date.now(), 'old')
      return answer
    },
  }
  expect(await sweepFeeds({ redis: client, keys, unclaimedMs: 7 * day })).toEqual([])
  expect(await known()).toEqual(['shop/1'])
  expect(await redis.exists(keys.feed('old'))).toBe(1)
})
