import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWriter, listen, type SampleWriter, until } from '../functions/serving.ts'
import { openSocket } from '../runtime/open-socket.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startProbe } from '../support/probe.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
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
