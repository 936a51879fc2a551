import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { createWriter, keys, until } from '../functions/serving.ts'
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let redis: TestRedis
let client: Redis
let edge: TestEdge | undefined

beforeEach(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
  client.on('error', () => undefined)
})
afterEach(async () => {
  await edge?.stop()
  client.disconnect()
  await redis.stop()
})

async function start(options: Partial<TestEdgeOptions> = {}): Promise<TestEdge> {
  edge = await startTestEdge({ redisUrl: redis.url, ...options })
  return edge
}

/** Asks under another name than this machine's, as callers of a deployment do. */
async function askFromAfar({ harness }: TestEdge, path: string) {
  const response = await harness.fetch(`https://relay.example.com${path}`)
  return { status: response.status, body: (await response.json()) as { detail?: string } }
}

test('without auth, only this machine is served', async () => {
  const { url } = await start()
  expect((await fetch(`${url}/v1/pods`)).status).toBe(200)
  const { status, body } = await askFromAfar(await start(), '/v1/pods')
  expect(status).toBe(503)
  expect(body.detail).toContain('set RELAY_AUTH (keys or jwt')
})

test.each([
  [{ RELAY_AUTH: 'kubernetes' }, 501, 'RELAY_AUTH=jwt'],
  [{ RELAY_AUTH: 'jwt' }, 503, 'RELAY_JWT_ISSUER'],
  [{ WEBHOOK_ALLOW_CIDRS: 'everywhere' }, 503, 'WEBHOOK_ALLOW_CIDRS'],
])('a deployment that is not set up says what is missing: %o', async (vars, status, mentions) => {
  const answer = await askFromAfar(await start({ vars }), '/v1/pods')
  expect(answer.status).toBe(status)
  expect(answer.body.detail).toContain(mentions)
  expect(JSON.stringify(answer.body)).not.toContain(redis.url)
})

test('keys work from afar, and what is cached for one caller is for nobody else', async () => {
  const { harness } = await start({ vars: { RELAY_AUTH: 'keys' } })
  const writer = await createWriter(client, 'pods', 1_000)
  await writer.append({ name: 'a' })
  const store = createApiKeyStore(client, keys)
  const make = async (tenant: string) => {
    const grants = [{ namespaces: ['*'], resources: ['*'] }]
    return store.create({ tenant, grants, actions: ['read'], createdAt: new Date().toISOString() })
  }
  const [one, two] = [await make('one'), await make('two')]
  const ask = async (key?: string, more: Record<string, string> = {}) => {
    const headers = { ...more, ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) }
    const response = await harness.fetch('https://relay.example.com/v1/pods', { headers })
    await response.text()
    return { status: response.status, from: response.headers.get('cache-status') ?? '' }
  }
  expect(await ask(one.key)).toMatchObject({ status: 200, from: 'kube-watch-relay; fwd=miss' })
  // On a busy machine the second that it is kept for may be over.
  await until(async () => (await ask(one.key)).from.includes('hit'))
  expect((await ask(two.key)).from).toContain('fwd=miss')
  expect((await ask()).status).toBe(401)
  // An origin that leads out of the caller's own place leads to nobody else's.
  for (const origin of ['..', '../..', '../../public', '%2e%2e', '?', '#']) {
    expect((await ask(one.key, { origin })).status).toBe(200)
    expect((await ask(two.key, { origin })).from, origin).toContain('fwd=miss')
    expect((await ask(undefined, { origin })).status, origin).toBe(401)
  }
  await store.revoke(one.record.id)
  await until(async () => (await ask(one.key)).status === 401)
})

test('an answer is given again for a second, then while a newer one is fetched, and says its age', async () => {
  const { url } = await start()
  const writer = await createWriter(client, 'pods', 1_000)
  await writer.append({ name: 'a' })
  const ask = async () => {
    const response = await fetch(`${url}/v1/pods`)
    const { items } = (await response.json()) as { items: unknown[] }
    return { count: items.length, headers: response.headers }
  }
  expect((await ask()).count).toBe(1)
  await writer.append({ name: 'b' })
  const second = await ask()
  expect(second.headers.get('cache-status')).toMatch(/^kube-watch-relay; (hit; ttl=|fwd=miss)/)
  expect(second.headers.get('age')).toMatch(/^\d$/)
  await until(async () => (await ask()).count === 2)
})

test('a hub without room lets another one take the subscriber', async () => {
  const { url } = await start({ vars: { HUB_SHARDS: 2 }, limits: { maxStreams: 3, heartbeat: 300 } })
  const abort = new AbortController()
  const open = () => fetch(`${url}/v1/events`, { signal: abort.signal })
  for (let i = 0; i < 6; i++) expect((await open()).status, String(i)).toBe(200)
  const last = await open()
  expect(last.status).toBe(503)
  expect(last.headers.has('relay-hub-room')).toBe(false)
  abort.abort()
})

test('an object that nobody uses keeps no connection to Redis', async () => {
  const { url } = await start({ limits: { linger: 200, heartbeat: 200 } })
  const connections = async () => String(await client.call('CLIENT', 'LIST')).split('name=relay-').length - 1
  const abort = new AbortController()
  const response = await fetch(`${url}/v1/events`, { signal: abort.signal })
  await response.body?.getReader().read()
  await until(async () => (await connections()) === 2)
  abort.abort()
  await until(async () => (await connections()) === 0, 30_000)
  expect((await fetch(`${url}/v1/pods`)).status).toBe(200)
})
