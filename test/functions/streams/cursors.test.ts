import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLogReader } from '../../../shared/log/reader.ts'
import { keys, type SampleWriter, type Serving, startServing, until } from '../serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing()
  writer = await serving.createWriter()
  await writer.append({ name: 'a' }, { name: 'b' }, { name: 'c' })
})
afterAll(() => serving.stop())

const asPage = { accept: 'application/json' }

async function readNext(): Promise<string> {
  const answer = await fetch(`${serving.url}/v1/events?limit=1`, { headers: asPage })
  return ((await answer.json()) as { next: string }).next
}

/** The seal of one place under the number of another. */
const forge = (cursor: string) => cursor.replace(/-\w+-/, '-3-')

interface Ask {
  path: string
  headers?: Record<string, string>
  body?: object
}

const routes: [string, string, (cursor: string) => Ask][] = [
  ['a stream', 'from', (cursor) => ({ path: `/v1/events?from=${cursor}` })],
  ['a stream that comes back', 'Last-Event-ID', (id) => ({ path: '/v1/events', headers: { 'last-event-id': id } })],
  ['a page', 'from', (cursor) => ({ path: `/v1/events?from=${cursor}`, headers: asPage })],
  ['a long poll', 'from', (cursor) => ({ path: `/v1/events?wait=1&from=${cursor}`, headers: asPage })],
  ['a filter check', 'event', (event) => ({ path: '/v1/filters/check', body: { filter: {}, minutes: 5, event } })],
  [
    'a listing',
    'continue',
    (cursor) => ({ path: `/v1/pods?continue=${btoa(`${cursor} shop/a`).replaceAll('=', '')}` }),
  ],
  [
    'a webhook',
    'from',
    (from) => ({ path: '/v1/webhooks', body: { url: 'http://127.0.0.1:9000/', filter: {}, from } }),
  ],
]

test.each(routes)('%s takes a cursor that was given, and refuses one that was made up', async (_, field, toAsk) => {
  const ask = async (cursor: string) => {
    const { path, headers, body } = toAsk(cursor)
    const abort = new AbortController()
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const sent = { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }
    const response = await fetch(serving.url + path, { ...init, headers: sent, signal: abort.signal })
    const text = response.ok ? '' : await response.text()
    abort.abort()
    return { status: response.status, text }
  }
  const cursor = await readNext()
  expect(await ask(cursor)).toMatchObject({ text: '' })
  const refused = await ask(forge(cursor))
  expect(refused.status).toBe(400)
  expect(JSON.parse(refused.text)).toMatchObject({ field })
  expect(refused.text).toContain('was not given by this relay')
})

/** The cursors of a stream's beginning and of its events until one of this name, in the order they came. */
async function readCursors(query: string, last: string): Promise<string[]> {
  const abort = new AbortController()
  const headers = { accept: 'application/x-ndjson' }
  const response = await fetch(`${serving.url}/v1/events?${query}`, { headers, signal: abort.signal })
  expect(response.status, query).toBe(200)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes(`"name":"${last}"`)) text += (await reader?.read())?.value ?? ''
  abort.abort()
  return [...text.matchAll(/"cursor":"([^"]+)"/g)].map(([, cursor]) => cursor ?? '')
}

async function ask(query: string, headers: Record<string, string> = {}): Promise<{ status: number; text: string }> {
  const abort = new AbortController()
  const response = await fetch(`${serving.url}/v1/events?${query}`, { headers, signal: abort.signal })
  const isStream = response.headers.get('content-type') === 'text/event-stream'
  const text = isStream ? '' : await response.text()
  abort.abort()
  return { status: response.status, text }
}

const given = 'namespace=shop&name=a*,b*'

test.each([
  ['the same filter', 'name=b*,a*&namespace=shop', 200],
  ['a narrower one', `${given}&type=k8s.pod.*`, 200],
  ['a wider one', 'namespace=shop', 400],
  ['another one', 'namespace=shop&name=b*', 400],
  ['none', '', 400],
])('a stream goes on with %s where it may have missed nothing, and is refused otherwise', async (_, query, status) => {
  await writer.append(
    { namespace: 'shop', name: 'a1' },
    { namespace: 'shop', name: 'c1' },
    { namespace: 'shop', name: 'b1' },
  )
  const cursors = await readCursors(`from=start&${given}`, 'b1')
  expect(cursors.length).toBeGreaterThan(2)
  for (const cursor of cursors) {
    const answers = [
      await ask(`from=${cursor}&${query}`),
      await ask(query, { 'last-event-id': cursor }),
      await ask(`from=${cursor}&${query}`, asPage),
    ]
    for (const answer of answers) {
      expect(answer.status).toBe(status)
      if (status === 400) expect(answer.text).toContain('given under another filter')
    }
  }
})

test('whoever saw everything may go on with any filter, and a page is as bound as a stream', async () => {
  const [first] = await readCursors('from=start', 'a')
  expect((await ask(`from=${first}&${given}`)).status).toBe(200)
  const page = await fetch(`${serving.url}/v1/events?${given}`, { headers: asPage })
  const { next, events } = (await page.json()) as { next: string; events: { cursor: string }[] }
  const shown = [next, page.headers.get('relay-cursor') ?? '', ...events.map(({ cursor }) => cursor)]
  for (const cursor of shown) {
    expect((await ask(`from=${cursor}&${given}`, asPage)).status).toBe(200)
    expect((await ask(`from=${cursor}`, asPage)).status).toBe(400)
  }
})

test('what shares a buffer or not, a reader is given the cursors of its own filter', async () => {
  const readers = [given, given, 'namespace=shop', '', `${given}&type=k8s.pod.*`].map((query) =>
    readCursors(`from=now&${query}`, 'b-live').then((cursors) => ({ query, cursors })),
  )
  await until(async () => (await serving.countStreams()) >= readers.length)
  await writer.append({ namespace: 'shop', name: 'a-live' }, { namespace: 'shop', name: 'b-live' })
  for (const { query, cursors } of await Promise.all(readers)) {
    expect(cursors.length).toBeGreaterThanOrEqual(3)
    for (const cursor of cursors) {
      expect((await ask(`from=${cursor}&${query}`, asPage)).status).toBe(200)
      if (query !== '') expect((await ask(`from=${cursor}`, asPage)).status).toBe(400)
    }
  }
})

test('every process seals alike, in every life of the log', async () => {
  const readers = Array.from({ length: 20 }, () => createLogReader(serving.client, keys))
  const seals = async (epoch: string) => {
    const cursors = await Promise.all(readers.map((reader) => reader.toCursor({ epoch, seq: 7 })))
    return [...new Set(cursors)]
  }
  const { epoch } = await createLogReader(serving.client, keys).bounds()
  const before = await seals(epoch)
  expect(before).toHaveLength(1)
  await writer.renewEpoch()
  expect(await seals(epoch)).toEqual(before)
  const fresh = await createLogReader(serving.client, keys).bounds()
  expect(await seals(fresh.epoch)).toEqual([fresh.seal.toCursor({ epoch: fresh.epoch, seq: 7 })])
})

test('where Redis lost everything, the key too, an old cursor is answered as one whose history is gone', async () => {
  const cursor = await readNext()
  await serving.client.flushall()
  const page = await fetch(`${serving.url}/v1/events?from=${cursor}`, { headers: asPage })
  expect(page.status).toBe(410)
  const abort = new AbortController()
  const headers = { 'last-event-id': cursor }
  const stream = await fetch(`${serving.url}/v1/events`, { headers, signal: abort.signal })
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('event: reset')) text += (await reader?.read())?.value ?? ''
  abort.abort()
  expect(await readNext()).toMatch(/^\w{10}-0-\w{8}$/)
})

test('a filter that changes mid-stream binds what follows, heartbeats too', async () => {
  const brief = await startServing({ limits: { heartbeat: 50 } })
  try {
    const socket = new WebSocket(`${brief.url.replace('http', 'ws')}/v1/events/ws`)
    const seen: { relay?: string; cursor?: string }[] = []
    socket.addEventListener('message', ({ data }) => {
      for (const line of String(data).split('\n')) if (line !== '') seen.push(JSON.parse(line))
    })
    const heartbeats = () => seen.filter(({ relay }) => relay === 'heartbeat')
    await until(() => heartbeats().length > 0)
    const free = seen.length
    socket.send('{"filter": {"namespace": ["shop"]}}')
    const isReady = () => seen.slice(free).findIndex(({ relay }) => relay === 'ready') + free
    await until(() => isReady() >= free && seen.length > isReady() + 2)
    socket.close()
    const page = async (cursor: string | undefined, query: string) =>
      (await fetch(`${brief.url}/v1/events?from=${cursor}${query}`, { headers: asPage })).status
    expect(await page(heartbeats()[0]?.cursor, '')).toBe(200)
    for (const { cursor } of seen.slice(isReady()).filter(({ cursor }) => cursor !== undefined)) {
      expect(await page(cursor, '&namespace=shop')).toBe(200)
      expect(await page(cursor, '')).toBe(400)
    }
  } finally {
    await brief.stop()
  }
})
