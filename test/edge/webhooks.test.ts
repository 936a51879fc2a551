import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Logger, Running } from '../../shared/role.ts'
import { startDeliver } from '../../workers/commands/deliver.ts'
import { createWriter, type SampleWriter, serveConfig, until } from '../functions/serving.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const ignore = () => undefined
const log: Logger = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => log }

let redis: TestRedis
let client: Redis
let writer: SampleWriter
let edge: TestEdge
let deliver: Running
const arrived: string[] = []
const receiver = createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request) body += chunk
  arrived.push((JSON.parse(body) as { subject: string }).subject)
  response.end()
})

beforeAll(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
  writer = await createWriter(client, 'pods', 1_000)
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  edge = await startTestEdge({ redisUrl: redis.url })
  deliver = await startDeliver({ ...serveConfig, redisUrl: redis.url }, log)
})
afterAll(async () => {
  await deliver.stop()
  await edge.stop()
  receiver.close()
  client.disconnect()
  await redis.stop()
})

test('a webhook that is registered at the edge is delivered to by the workers', async () => {
  const { port } = receiver.address() as AddressInfo
  const body = JSON.stringify({ url: `http://127.0.0.1:${port}/`, filter: { name: ['wanted'] } })
  const headers = { 'content-type': 'application/json' }
  const created = await fetch(`${edge.url}/v1/webhooks`, { method: 'POST', headers, body })
  expect(created.status).toBe(201)
  const { id } = (await created.json()) as { id: string }
  await writer.append({ name: 'wanted' }, { name: 'other' })
  await until(() => arrived.length > 0, 30_000)
  expect(arrived).toEqual(['shop/wanted'])
  const answer = await fetch(`${edge.url}/v1/webhooks/${id}/deliveries`)
  const { items } = (await answer.json()) as { items: { state: string }[] }
  expect(items.map(({ state }) => state)).toEqual(['delivered'])
  expect((await fetch(`${edge.url}/v1/webhooks/${id}`, { method: 'DELETE' })).status).toBe(204)
})
