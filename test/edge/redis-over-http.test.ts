import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createWriter, listen, type SampleWriter, until } from '../functions/serving.ts'
import { openSocket } from '../runtime/open-socket.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startProbe } from '../support/probe.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { type Mood, type MoodyRedis, moods, startMoodyRedis } from '../support/redis-over-http/moody.ts'
import { type RedisOverHttp, startRedisOverHttp } from '../support/redis-over-http.ts'

let redis: TestRedis
let client: Redis
let overHttp: RedisOverHttp
let edge: TestEdge
let writer: SampleWriter

beforeAll(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
  writer = await createWriter(client, 'pods', 10_000)
  overHttp = await startRedisOverHttp(redis.url)
  edge = await startTestEdge({ redisUrl: overHttp.url, redisToken: overHttp.token, limits: { heartbeat: 300 } })
})
afterAll(async () => {
  await edge.stop()
  await overHttp.stop()
  client.disconnect()
  await redis.stop()
})

test('streams, sockets and answers come from a Redis that takes commands over HTTP alone', async () => {
  const listener = listen(edge.url, '?name=a*')
  const socket = await openSocket(edge.url, '?name=a*')
  await until(() => listener.messages.length > 0 && socket.count('ready') === 1)
  for (let i = 0; i < 20; i++) await writer.append({ name: `a-${i}` }, { name: 'b' })
  const expected = Array.from({ length: 20 }, (_, i) => `a-${i}`)
  await until(() => listener.messages.length > 20 && socket.names().length === 20)
  expect(socket.names()).toEqual(expected)
  expect(listener.messages.flatMap(({ data }) => data.data?.name ?? [])).toEqual(expected)
  listener.close()
  socket.close()
  const { items } = (await (await fetch(`${edge.url}/v1/pods`)).json()) as { items: unknown[] }
  expect(items).toHaveLength(21)
})

test('shared/client.ts follows events inside of a Worker', async () => {
  const page = await fetch(`${edge.url}/v1/events?from=now`, { headers: { accept: 'application/json' } })
  const { next } = (await page.json()) as { next: string }
  const probe = await startProbe(redis.url)
  const following = fetch(`${probe.url}/follow?url=${edge.url}&cursor=${next}&count=3`)
  for (let i = 0; i < 3; i++) await writer.append({ name: `w-${i}` })
  expect(await (await following).json()).toEqual(['w-0', 'w-1', 'w-2'])
  await probe.stop()
})

describe('a Redis over HTTP that is not always well', () => {
  let moody: MoodyRedis
  let other: TestEdge
  beforeAll(async () => {
    moody = await startMoodyRedis(redis.url)
    other = await startTestEdge({
      redisUrl: moody.url,
      redisToken: moody.token,
      limits: { heartbeat: 300 },
      vars: { LOG_LEVEL: 'trace' },
    })
  })
  afterAll(async () => {
    await other.stop()
    await moody.stop()
  })

  test('fails requests that say so and no more, and no stream, which loses and doubles nothing', async () => {
    const listener = listen(other.url, '?name=m-*')
    const socket = await openSocket(other.url, '?name=m-*')
    await until(() => listener.messages.length > 0 && socket.count('ready') === 1)
    const expected: string[] = []
    // Those that never answer take as long as a command may; one of them is enough here.
    const some = (Object.keys(moods) as Exclude<Mood, 'well'>[]).filter((mood) => mood !== 'never answers')
    for (const mood of some) {
      moody.mood = mood
      const answer = await fetch(`${other.url}/v1/webhooks`)
      expect(answer.status, mood).toBe(503)
      expect(Number(answer.headers.get('retry-after')), mood).toBeGreaterThan(0)
      expect(await answer.json(), mood).toMatchObject({
        detail: 'The event log cannot be reached at the moment.',
        type: 'urn:kube-watch-relay:problem:unavailable',
      })
      expected.push(`m-${mood}`)
      await writer.append({ name: `m-${mood}` })
      moody.mood = 'well'
      await until(async () => (await fetch(`${other.url}/v1/webhooks`)).status === 200, 30_000)
      await until(() => socket.names().length === expected.length, 60_000)
    }
    await until(() => listener.messages.filter(({ type }) => type === 'message').length === expected.length, 60_000)
    expect(listener.messages.flatMap(({ data }) => data.data?.name ?? [])).toEqual(expected)
    expect(socket.names()).toEqual(expected)
    expect(listener.resumed).toHaveLength(1)
    listener.close()
    socket.close()
    const logs = JSON.stringify(other.harness.getLogs())
    expect(logs).toContain('cannot follow the log')
    expect(logs).toContain('WRONGPASS')
    expect(logs).not.toContain(moody.token)
  })
})
