import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { createCrowd, createMeter } from '../../functions/edge/shards.ts'
import { createWriter, until } from '../functions/serving.ts'
import { openSocket } from '../runtime/open-socket.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let redis: TestRedis | undefined
let edge: TestEdge | undefined
afterEach(async () => {
  await edge?.stop()
  await redis?.stop()
})

test('a hub without room is left alone for a second, and where none has any the best is asked', () => {
  let time = 0
  const crowd = createCrowd(() => time)
  expect(crowd.choose([2, 0, 1])).toEqual([2, 0, 1])
  crowd.note(2)
  expect(crowd.choose([2, 0, 1])).toEqual([0, 1])
  crowd.note(0)
  crowd.note(1)
  expect(crowd.choose([2, 0, 1])).toEqual([2])
  time = 1_000
  expect(crowd.choose([2, 0, 1])).toEqual([2, 0, 1])
})

test('a hub has much to do while more comes than so many requests a second', () => {
  let time = 0
  const meter = createMeter(500, () => time)
  const take = (count: number) => Array.from({ length: count }, meter).filter((isBusy) => isBusy).length
  expect(take(500)).toBe(0)
  expect(take(100)).toBe(100)
  time = 100
  expect(take(60)).toBe(10)
  time = 10_000
  expect(take(501)).toBe(1)
})

test('a hub with much to do refuses nobody, and others take what comes meanwhile', async () => {
  redis = await startTestRedis()
  edge = await startTestEdge({
    redisUrl: redis.url,
    vars: { HUB_SHARDS: 2, LOG_LEVEL: 'debug' },
    limits: { requests: 1, heartbeat: 300 },
  })
  const { url, harness } = edge
  const client = new Redis(redis.url)
  const writer = await createWriter(client, 'pods', 1_000)
  const sockets = await Promise.all(Array.from({ length: 4 }, () => openSocket(url, '')))
  const abort = new AbortController()
  for (let i = 0; i < 12; i++) {
    const response = await fetch(`${url}/v1/events`, { signal: abort.signal })
    expect(response.status).toBe(200)
    expect(response.headers.has('relay-hub-room')).toBe(false)
  }
  const starts = () => harness.getLogs().filter(({ message }) => message.includes('a hub starts')).length
  expect(starts()).toBe(2)
  await writer.append({ name: 'a' })
  await until(() => sockets.every((socket) => socket.names().join() === 'a'))
  abort.abort()
  for (const socket of sockets) socket.close()
  client.disconnect()
})
