import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import { createWriter, keys, type SampleWriter, serveConfig, until } from '../functions/serving.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let redis: TestRedis
let client: Redis
let writer: SampleWriter
let edge: TestEdge
let deliver: ChildProcess
const arrived: string[] = []
const receiver = createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request) body += chunk
  arrived.push((JSON.parse(body) as { data: { name: string } }).data.name)
  response.end()
})

beforeAll(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
  writer = await createWriter(client, 'pods', 10_000)
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  edge = await startTestEdge({ redisUrl: redis.url })
  const env = {
    ...process.env,
    REDIS_URL: redis.url,
    RELAY_CLUSTER: serveConfig.cluster,
    WEBHOOK_SECRET_KEY: serveConfig.webhookSecretKey,
    WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8',
    WEBHOOK_ALLOW_HTTP: 'true',
    LOG_LEVEL: 'warn',
  }
  deliver = spawn(process.execPath, ['workers/relay.ts', 'deliver'], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  // Leads already, so that what is measured is not its start.
  await until(async () => (await client.exists(createWebhookKeys(keys).dispatch)) === 1, 60_000)
})
afterAll(async () => {
  const exited = once(deliver, 'exit')
  deliver.kill()
  await exited
  await edge.stop()
  receiver.close()
  client.disconnect()
  await redis.stop()
})
beforeEach(() => {
  arrived.length = 0
})

const ask = async (method: string, path: string, body?: unknown) => {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${edge.url}/v1/webhooks${path}`, { method, headers, body: JSON.stringify(body) })
  const text = await response.text()
  // biome-ignore lint/suspicious/noExplicitAny: answers of several routes, looked into by tests.
  return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as any }
}

async function register(wish: object): Promise<{ id: string; createdAt: string }> {
  const { port } = receiver.address() as AddressInfo
  const created = await ask('POST', '', { url: `http://127.0.0.1:${port}/`, ...wish })
  expect(created.status).toBe(201)
  return created.body
}

/** Appends events, one by one, until it is told to stop; answers how many. */
function keepAppending(prefix: string): { count: () => number; stop(): Promise<void> } {
  let count = 0
  let isOver = false
  const running = (async () => {
    while (!isOver) {
      await writer.append({ name: `${prefix}-${count}` })
      count++
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  return {
    count: () => count,
    async stop() {
      isOver = true
      await running
    },
  }
}

test('a webhook that is registered at the edge is delivered to by the workers', async () => {
  const { id } = await register({ filter: { name: ['wanted'] } })
  await writer.append({ name: 'wanted' }, { name: 'other' })
  await until(() => arrived.length > 0, 30_000)
  expect(arrived).toEqual(['wanted'])
  const { items } = (await ask('GET', `/${id}/deliveries`)).body
  expect(items.map(({ state }: { state: string }) => state)).toEqual(['delivered'])
  expect((await ask('DELETE', `/${id}`)).status).toBe(204)
})

test('it is sent all that comes after the answer, however soon, and at once', async () => {
  const appending = keepAppending('flow')
  await until(() => appending.count() > 20)
  const { id, createdAt } = await register({ filter: { name: ['flow-*'] } })
  const known = appending.count()
  await until(() => appending.count() > known + 50)
  await appending.stop()
  const numbers = () => arrived.map((name) => Number(name.split('-')[1])).toSorted((a, b) => a - b)
  await until(
    () => numbers().at(-1) === appending.count() - 1 && arrived.length >= appending.count() - known - 1,
    30_000,
  )
  const [first = Number.NaN] = numbers()
  // One was perhaps being appended when the answer came.
  expect(first).toBeLessThanOrEqual(known + 1)
  expect(numbers()).toEqual(Array.from({ length: appending.count() - first }, (_, i) => first + i))
  const { items } = (await ask('GET', `/${id}/deliveries?limit=200`)).body
  const accepted = Math.min(...items.map(({ acceptedAt }: { acceptedAt: string }) => Date.parse(acceptedAt)))
  // Promised is a second; `npm run bench -- edge --only webhook` measures it.
  expect(accepted - Date.parse(createdAt)).toBeLessThan(10_000)
  expect((await ask('DELETE', `/${id}`)).status).toBe(204)
})

test('one that is to be told the current objects is, though nothing happens', async () => {
  await writer.append({ name: 'here-1' }, { name: 'here-2' })
  const { id } = await register({ filter: { name: ['here-*'] }, from: 'state' })
  await until(() => arrived.length === 2, 30_000)
  expect(arrived.toSorted()).toEqual(['here-1', 'here-2'])
  expect((await ask('DELETE', `/${id}`)).status).toBe(204)
})

test('what is changed or turned off at the edge holds for everything that comes after the answer', async () => {
  const { id } = await register({ filter: { name: ['old-*', 'end'] } })
  await writer.append({ name: 'old-1' }, { name: 'new-1' })
  await until(() => arrived.length === 1, 30_000)
  expect((await ask('PATCH', `/${id}`, { filter: { name: ['new-*'] } })).status).toBe(200)
  await writer.append({ name: 'old-2' }, { name: 'new-2' })
  await until(() => arrived.length === 2, 30_000)
  expect((await ask('PATCH', `/${id}`, { enabled: false })).status).toBe(200)
  await writer.append({ name: 'new-3' })
  const other = await register({ filter: { name: ['last'] } })
  await writer.append({ name: 'last' })
  await until(() => arrived.includes('last'), 30_000)
  expect(arrived).toEqual(['old-1', 'new-2', 'last'])
  for (const { id: each } of [{ id }, other]) expect((await ask('DELETE', `/${each}`)).status).toBe(204)
})
