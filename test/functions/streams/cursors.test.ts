import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLogReader } from '../../../shared/log/reader.ts'
import { keys, type SampleWriter, type Serving, startServing } from '../serving.ts'

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
