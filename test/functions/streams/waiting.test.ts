import { afterEach, expect, test } from 'vitest'
import { type ApiKeyStore, createApiKeyStore } from '../../../shared/api-key.ts'
import { keys, type Serving, startServing, until } from '../serving.ts'

let serving: Serving
afterEach(() => serving.stop())

const json = { accept: 'application/json' }
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

const createKey = (store: ApiKeyStore, tenant: string) =>
  store.create({ tenant, grants: [{ namespaces: ['*'], resources: ['*'] }], actions: ['read'], createdAt: '' })

/** Waits for an event that never comes; answers when the relay does. */
function wait(signal: AbortSignal, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${serving.url}/v1/events?from=now&name=nobody&wait=60`, { headers: { ...json, ...headers }, signal })
}

test('requests that wait take the places of streams, and give them back when their clients leave', async () => {
  serving = await startServing({ limits: { maxStreams: 2 } })
  const leave = new AbortController()
  const waiting = [wait(leave.signal), wait(leave.signal)]
  await until(async () => (await serving.countStreams()) === 2)
  for (const accept of ['text/event-stream', 'application/json']) {
    const refused = await fetch(`${serving.url}/v1/events?from=now&wait=60`, { headers: { accept } })
    expect(refused.status, accept).toBe(503)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await refused.json()).toMatchObject({ detail: expect.stringContaining('All 2 streams are taken') })
  }
  // A page that is there already needs no place.
  expect((await fetch(`${serving.url}/v1/events`, { headers: json })).status).toBe(200)
  leave.abort()
  await Promise.allSettled(waiting)
  await until(async () => (await serving.countStreams()) === 0)
  const [again, told] = [new AbortController(), wait(new AbortController().signal)]
  const other = wait(again.signal)
  await until(async () => (await serving.countStreams()) === 2)
  again.abort()
  await expect(other).rejects.toThrow()
  const writer = await serving.createWriter()
  await writer.append({ name: 'nobody' })
  expect(((await (await told).json()) as { events: unknown[] }).events).toHaveLength(1)
})

test('requests that wait count as streams of their caller, and of nobody else', async () => {
  serving = await startServing({ auth: { mode: 'keys' }, limits: { streamsPerTenant: 2 } })
  const store = createApiKeyStore(serving.client, keys)
  const [one, other] = [await createKey(store, 'one'), await createKey(store, 'other')]
  const leave = new AbortController()
  const stream = await fetch(`${serving.url}/v1/events`, { headers: bearer(one.key), signal: leave.signal })
  const waiting = wait(leave.signal, bearer(one.key))
  await until(async () => (await serving.countStreams()) === 2)
  for (const accept of ['text/event-stream', 'application/json']) {
    const headers = { accept, ...bearer(one.key) }
    const refused = await fetch(`${serving.url}/v1/events?from=now&wait=60`, { headers })
    expect(refused.status, accept).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await refused.json()).toMatchObject({
      detail: expect.stringContaining('2 streams and waiting requests are open already'),
    })
  }
  expect(await serving.countStreams()).toBe(2)
  const theirs = wait(leave.signal, bearer(other.key))
  await until(async () => (await serving.countStreams()) === 3)
  leave.abort()
  await Promise.allSettled([waiting, theirs, stream.text()])
  await until(async () => (await serving.countStreams()) === 0)
  const after = new AbortController()
  const again = [wait(after.signal, bearer(one.key)), wait(after.signal, bearer(one.key))]
  await until(async () => (await serving.countStreams()) === 2)
  after.abort()
  await Promise.allSettled(again)
})

test('a request that waits ends with the key it was made with, and tells nothing that came later', async () => {
  serving = await startServing({ auth: { mode: 'keys' }, limits: { review: 200 } })
  const store = createApiKeyStore(serving.client, keys)
  const { key, record } = await createKey(store, 'gone')
  const waiting = wait(new AbortController().signal, bearer(key))
  await until(async () => (await serving.countStreams()) === 1)
  await store.revoke(record.id)
  const answer = await waiting
  expect(await answer.json()).toEqual({ events: [], next: expect.any(String) })
  expect((await wait(new AbortController().signal, bearer(key))).status).toBe(401)
})
