import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createApp } from '../../functions/app.ts'
import { parseResources } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { type Listener, listen, type Message, type SampleWriter, type Serving, startServing, until } from './serving.ts'

let serving: Serving
let writer: SampleWriter
const open: Listener[] = []

function follow(query: string, headers?: Record<string, string>): Listener {
  const listener = listen(serving.url, query, headers)
  open.push(listener)
  return listener
}

const events = (listener: Listener): Message[] => listener.messages.filter(({ type }) => type === 'message')
const names = (listener: Listener) => events(listener).map(({ data }) => data.data.name)

beforeAll(async () => {
  serving = await startServing({ limits: { heartbeat: 200, linger: 200 } })
  writer = await serving.createWriter()
})
afterEach(async () => {
  for (const listener of open.splice(0)) listener.close()
  await until(async () => (await serving.countStreams()) === 0)
})
afterAll(() => serving.stop())

test('says ready with a cursor, then tells what comes, each with its cursor as id', async () => {
  await writer.append({ name: 'before' })
  const listener = follow('')
  await until(() => listener.messages.length === 1)
  expect(listener.messages[0]).toMatchObject({ type: 'ready', id: listener.messages[0]?.data.cursor })
  await writer.append({ name: 'a' }, { name: 'b' })
  await until(() => listener.messages.length === 3)
  expect(names(listener)).toEqual(['a', 'b'])
  for (const { id, data } of events(listener)) expect(id).toBe(data.cursor)
})

test('resumes after any break without loss or double', async () => {
  const total = 400
  const page = await fetch(`${serving.url}/v1/events?from=now`, { headers: { accept: 'application/json' } })
  let lastId = ((await page.json()) as { next: string }).next
  const writing = (async () => {
    for (let i = 0; i < total; i += 4) await writer.append(...[0, 1, 2, 3].map((j) => ({ name: `r-${i + j}` })))
  })()
  const got: string[] = []
  let breaks = 0
  while (got.length < total) {
    const text = await readSome(lastId, Math.floor(Math.random() * 9_000))
    breaks++
    for (const block of text.split('\n\n').slice(0, -1)) {
      const message = /^id: (.*)\ndata: (.*)$/.exec(block)
      lastId = /^id: (.*)$/m.exec(block)?.[1] ?? lastId
      if (message?.[2] !== undefined) got.push(JSON.parse(message[2]).data.name)
    }
  }
  await writing
  expect(got).toEqual(Array.from({ length: total }, (_, i) => `r-${i}`))
  expect(breaks).toBeGreaterThan(10)
})

/** What arrives before the connection breaks after so many bytes, wherever in a message that may be. */
async function readSome(lastId: string, bytes: number): Promise<string> {
  const abort = new AbortController()
  const headers = { accept: 'text/event-stream', 'last-event-id': lastId }
  const response = await fetch(`${serving.url}/v1/events`, { headers, signal: abort.signal })
  const timer = setTimeout(() => abort.abort(), 400)
  const decoder = new TextDecoder()
  let text = ''
  try {
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk.subarray(0, bytes), { stream: true })
      bytes -= chunk.length
      if (bytes <= 0) abort.abort()
    }
  } catch (error) {
    expect(abort.signal.aborted, String(error)).toBe(true)
  }
  clearTimeout(timer)
  return text
}

test('hands over from state to live with no gap while objects change', async () => {
  const count = 900
  for (let i = 0; i < count; i += 100) {
    await writer.append(...Array.from({ length: 100 }, (_, j) => ({ name: `s-${i + j}`, round: 0 })))
  }
  let isWriting = true
  const latest = new Map<string, number>()
  const writing = (async () => {
    for (let round = 1; isWriting; round++) {
      const batch = Array.from({ length: 20 }, () => ({ name: `s-${Math.floor(Math.random() * count)}`, round }))
      const unique = [...new Map(batch.map((sample) => [sample.name, sample])).values()]
      await writer.append(...unique)
      for (const { name } of unique) latest.set(name, round)
    }
  })()
  const listeners = Array.from({ length: 5 }, () => follow('?resource=pods&from=state&namespace=shop'))
  await until(() => listeners.every((listener) => events(listener).length > count + 500))
  isWriting = false
  await writing
  await writer.append({ name: 'end' })
  await until(() => listeners.every((listener) => names(listener).at(-1) === 'end'))
  for (const listener of listeners) {
    const known = new Map<string, number>()
    let live = -1
    listener.messages.forEach(({ type, data, id }, index) => {
      if (type === 'live') live = index
      if (type !== 'message' || !data.data.name?.startsWith('s-')) return
      const round = Number(data.data.round)
      // Each version is told once: by the state or by a live event.
      expect(round, `${data.data.name} at ${index}`).toBeGreaterThan(known.get(data.data.name) ?? -1)
      known.set(data.data.name, round)
      expect(data.synthetic === 'state').toBe(live === -1)
      expect(id === '').toBe(live === -1)
    })
    expect(listener.messages[0]).toMatchObject({ type: 'ready', id: '' })
    expect(live).toBeGreaterThanOrEqual(count)
    expect(known.size).toBe(count)
    for (const [name, round] of latest) expect(known.get(name)).toBe(round)
  }
})

test('moves the last event id forward by heartbeats when nothing matches', async () => {
  const listener = follow('?name=nobody')
  await until(() => listener.messages.length === 1)
  const seq = await writer.append({ name: 'somebody' })
  expect(listener.resumed).toEqual([null])
  // What a heartbeat moves shows only in what the client comes back with.
  await until(async () => {
    const count = listener.resumed.length
    await new Promise((resolve) => setTimeout(resolve, 500))
    listener.breakOff()
    await until(() => listener.resumed.length > count)
    return listener.resumed.at(-1)?.includes(`-${seq.toString(36)}-`)
  }, 30_000)
  expect(events(listener)).toHaveLength(0)
}, 60_000)

test('tells objects that enter and leave a label selector', async () => {
  const listener = follow('?labelSelector=app%3Dweb')
  await until(() => listener.messages.length === 1)
  const relabel = (from: object, to: object) => [{ type: 'labels', from, to }]
  await writer.append(
    { name: 'l', labels: { app: 'db' } },
    { name: 'l', labels: { app: 'web' }, changes: relabel({ app: 'db' }, { app: 'web' }) },
    { name: 'l', labels: { app: 'web' } },
    { name: 'l', labels: { app: 'db' }, changes: relabel({ app: 'web' }, { app: 'db' }) },
    { name: 'l', labels: { app: 'db' } },
  )
  await until(() => listener.messages.length === 4)
  expect(events(listener).map(({ data }) => data.scope)).toEqual(['entered', undefined, 'left'])
})

test('takes repeated parameters and lists with commas', async () => {
  const listener = follow('?name=x,y&name=z&resource=pods')
  await until(() => listener.messages.length === 1)
  await writer.append(...['w', 'x', 'y', 'z'].map((name) => ({ name })))
  await until(() => events(listener).length === 3)
  expect(names(listener)).toEqual(['x', 'y', 'z'])
})

test('starts at a time', async () => {
  await writer.append({ name: 'early' })
  await new Promise((resolve) => setTimeout(resolve, 20))
  const moment = new Date().toISOString()
  await writer.append({ name: 'late' })
  const listener = follow(`?from=${moment}`)
  await until(() => events(listener).length === 1)
  expect(names(listener)).toEqual(['late'])
})

test('forgets a client that leaves, and stops following when nobody listens', async () => {
  const abort = new AbortController()
  const response = await fetch(`${serving.url}/v1/events`, { signal: abort.signal })
  await response.body?.getReader().read()
  expect(await serving.countStreams()).toBe(1)
  const tails = async () => String(await serving.client.call('CLIENT', 'LIST')).split('name=relay-tail').length - 1
  await until(async () => (await tails()) === 1)
  abort.abort()
  await until(async () => (await serving.countStreams()) === 0, 1_000)
  await until(async () => (await tails()) === 0, 2_000)
})

test('leaves nothing behind for a HEAD request', async () => {
  const response = await fetch(`${serving.url}/v1/events`, { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  expect(response.headers.get('relay-cursor')).toMatch(/^\w+-\w+-\w{8}$/)
  expect(await serving.countStreams()).toBe(0)
})

test('streams through a body where the runtime has no sockets to write to', async () => {
  const app = createApp({
    cluster: 'test',
    redis: serving.client,
    connect() {
      const redis = serving.client.duplicate()
      return { redis, close: () => redis.disconnect() }
    },
    log: { debug: () => undefined, info: () => undefined } as unknown as Logger,
    resources: parseResources('pods'),
    webhooks: { encryptionKey: 'key', policy: createAddressPolicy({ allowCidrs: [], allowHttp: false }) },
  })
  await writer.append({ name: 'in-a-body' })
  const response = await app.hono.request('/v1/events?from=start&name=in-a-body')
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('"in-a-body"')) text += (await reader?.read())?.value ?? ''
  expect(app.stats().subscribers).toBe(1)
  await reader?.cancel()
  await until(() => app.stats().subscribers === 0)
  await app.drain()
})
