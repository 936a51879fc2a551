import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { createWriter, keys, listen, type SampleWriter, until } from '../functions/serving.ts'
import { openSocket, type TestSocket } from '../runtime/open-socket.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let redis: TestRedis
let client: Redis
let writer: SampleWriter
let edge: TestEdge
const sockets: TestSocket[] = []

beforeEach(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
  writer = await createWriter(client, 'pods', 1_000)
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close()
  await edge.stop()
  client.disconnect()
  await redis.stop()
})

async function start(vars: Record<string, string | number> = {}): Promise<void> {
  edge = await startTestEdge({
    redisUrl: redis.url,
    limits: { heartbeat: 300, linger: 100 },
    vars: { HUB_SLEEP_SECONDS: 1, LOG_LEVEL: 'debug', ...vars },
  })
}

async function follow(query = ''): Promise<TestSocket & { isClosed(): boolean }> {
  const socket = await openSocket(edge.url, query)
  sockets.push(socket)
  let isClosed = false
  void socket.closed.then(() => {
    isClosed = true
  })
  await until(() => socket.count('ready') === 1)
  return { ...socket, isClosed: () => isClosed }
}

/** Takes the object out of memory, as the platform does with one at rest. */
async function evict(): Promise<void> {
  await edge.harness.getWorker().evictDurableObject('HUB', { name: 'test/0', webSockets: 'hibernate' })
}

const count = (message: string) => edge.harness.getLogs().filter((line) => line.message.includes(message)).length
const connections = async () => String(await client.call('CLIENT', 'LIST')).split('name=relay-').length - 1
const isAsleep = async () => count('let go of') > 0 && (await connections()) === 0

test('a hub with nobody but WebSockets lets go of a silent log, and they are told what comes', async () => {
  await start()
  const all = await follow()
  const some = await follow('?name=b*')
  await writer.append({ name: 'a' }, { name: 'b' })
  await until(() => all.names().length === 2 && some.names().length === 1)
  await until(isAsleep, 30_000)
  await evict()
  await writer.append({ name: 'b2' }, { name: 'c' })
  await until(() => all.names().length >= 4 && some.names().length >= 2, 30_000)
  await writer.append({ name: 'b3' })
  await until(() => all.names().length >= 5 && some.names().length >= 3, 30_000)
  expect(all.names()).toEqual(['a', 'b', 'b2', 'c', 'b3'])
  expect(some.names()).toEqual(['b', 'b2', 'b3'])
  expect(all.isClosed() || some.isClosed()).toBe(false)
  expect(count('a hub starts')).toBe(2)
})

test('a hub that sleeps answers pings, tells that it is there, and wakes up for another filter', async () => {
  await start()
  const socket = await follow('?name=a*')
  await until(isAsleep, 30_000)
  await evict()
  socket.send('{"relay":"ping"}')
  const before = socket.count('heartbeat')
  await until(() => socket.count('pong') === 1 && socket.count('heartbeat') > before, 30_000)
  expect(count('WebSockets go on')).toBe(0)
  socket.send('{"filter": {"name": ["b*"]}}')
  await until(() => socket.count('ready') === 3, 30_000)
  await writer.append({ name: 'a' }, { name: 'b' })
  await until(() => socket.names().length > 0)
  expect(socket.names()).toEqual(['b'])
})

test('a hub whose log is not silent for others stays awake for all', async () => {
  await start()
  const listener = listen(edge.url, '')
  await until(() => listener.messages.length > 0)
  const socket = await follow()
  await new Promise((resolve) => setTimeout(resolve, 4_000))
  expect(count('let go of')).toBe(0)
  listener.close()
  await until(isAsleep, 30_000)
  expect(socket.isClosed()).toBe(false)
})

test('who may no longer listen is told nothing on waking up', async () => {
  await start({ RELAY_AUTH: 'keys' })
  const store = createApiKeyStore(client, keys)
  const grants = [{ namespaces: ['*'], resources: ['*'] }]
  const create = () => store.create({ tenant: 'one', grants, actions: ['read'], createdAt: new Date().toISOString() })
  const [kept, revoked] = [await create(), await create()]
  const connect = async (key: string) => {
    const headers = { authorization: `Bearer ${key}` }
    const answer = await fetch(`${edge.url}/v1/tickets`, { method: 'POST', headers })
    const { ticket } = (await answer.json()) as { ticket: string }
    return follow(`?ticket=${ticket}`)
  }
  const [one, other] = [await connect(kept.key), await connect(revoked.key)]
  await until(isAsleep, 30_000)
  await evict()
  await store.revoke(revoked.record.id)
  await writer.append({ name: 'a' })
  await until(() => one.names().length === 1 && count('cannot go on') === 1, 30_000)
  await writer.append({ name: 'b' })
  await until(() => one.names().length === 2)
  expect(other.names()).toEqual([])
})

test('a WebSocket that takes more to go on by than the platform keeps holds its hub awake', async () => {
  await start()
  const socket = await follow()
  socket.send(JSON.stringify({ filter: { name: Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(250, 'x')) } }))
  await until(() => socket.count('ready') === 2)
  await new Promise((resolve) => setTimeout(resolve, 4_000))
  expect(count('let go of')).toBe(0)
  socket.send('{"filter": {"name": ["a"]}}')
  await until(isAsleep, 30_000)
  await evict()
  await writer.append({ name: 'a' }, { name: 'b' }, { name: '0xxx' })
  await until(() => socket.names().length > 0, 30_000)
  expect(socket.names()).toEqual(['a'])
})
