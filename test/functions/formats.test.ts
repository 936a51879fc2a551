import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleWriter, type Serving, startServing } from './serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing({ limits: { heartbeat: 100 } })
  writer = await serving.createWriter()
  await writer.append({ name: 'a' }, { name: 'b' })
})
afterAll(() => serving.stop())

const get = (path: string, accept: string) => fetch(`${serving.url}${path}`, { headers: { accept } })

test('answers a batch of CloudEvents, and where to go on beside it', async () => {
  const response = await get('/v1/events?limit=1', 'application/cloudevents-batch+json')
  expect(response.headers.get('content-type')).toBe('application/cloudevents-batch+json')
  const [event, ...others] = (await response.json()) as { subject: string; cursor: string }[]
  expect([event?.subject, others]).toEqual(['shop/a', []])
  expect(response.headers.get('relay-cursor')).toBe(event?.cursor)
  expect(response.headers.get('link')).toContain(`from=${event?.cursor}`)
})

test('streams JSON lines: events, and what the stream says of itself', async () => {
  const response = await get('/v1/events?from=start&name=b', 'application/x-ndjson')
  expect(response.headers.get('content-type')).toBe('application/x-ndjson')
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('heartbeat')) text += (await reader?.read())?.value ?? ''
  await reader?.cancel()
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map((line) => line.relay ?? line.subject)).toEqual(['retry', 'ready', 'shop/b', 'heartbeat'])
  expect(lines[3].cursor).toBe(lines[2].cursor)
})

test('waits for an event that passes, and answers an empty page when none came', async () => {
  const page = async (path: string) =>
    (await (await get(path, 'application/json')).json()) as { events: { subject: string }[]; next: string }
  const { next } = await page('/v1/events?from=now')
  const waiting = page(`/v1/events?from=${next}&name=c&wait=20`)
  await writer.append({ name: 'other' })
  await writer.append({ name: 'c' })
  expect((await waiting).events.map(({ subject }) => subject)).toEqual(['shop/c'])
  const empty = await page(`/v1/events?from=${next}&name=nobody&wait=1`)
  expect(empty.events).toEqual([])
  expect(empty.next).not.toBe(next)
})

test('says what a filter would have matched, why it is not valid, and what stopped an event', async () => {
  const check = async (body: unknown) => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${serving.url}/v1/filters/check`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    })
    return { status: response.status, ...((await response.json()) as Record<string, never>) }
  }
  expect(await check({ filter: { name: ['a', 'b'] } })).toMatchObject({
    valid: true,
    history: {
      matched: 2,
      isComplete: true,
      latest: [{ subject: 'shop/a' }, { subject: 'shop/b', cursor: expect.any(String) }],
    },
  })
  expect(await check({ filter: { where: 'data.x ==' } })).toMatchObject({
    valid: false,
    problem: { field: 'filter.where', detail: expect.stringContaining('character') },
  })
  const [event] = (await (await get('/v1/events?limit=1', 'application/cloudevents-batch+json')).json()) as {
    id: string
    cursor: string
  }[]
  for (const of of [event?.id, event?.cursor]) {
    expect(await check({ filter: { name: 'a', phase: 'Failed' }, event: of })).toMatchObject({
      event: {
        passes: false,
        clauses: [
          { clause: 'name', passes: true },
          { clause: 'phase', passes: false },
        ],
      },
    })
  }
  expect((await check({ filter: {}, event: 'test/nothing/1' })).status).toBe(404)
  expect((await check({ filter: {}, minutes: 0 })).status).toBe(400)
})
