import { EventSource } from 'eventsource'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleWriter, type Serving, startServing, until } from './serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing({ limits: { heartbeat: 300 } })
  writer = await serving.createWriter()
})
afterAll(() => serving.stop())

/** Follows a stream until it holds a text or was cut. */
async function follow(lastId: string, end: string): Promise<string> {
  const abort = new AbortController()
  const headers = { accept: 'text/event-stream', 'last-event-id': lastId }
  const response = await fetch(`${serving.url}/v1/events`, { headers, signal: abort.signal })
  expect(response.status).toBe(200)
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (let piece = await reader?.read(); piece !== undefined && !piece.done; piece = await reader?.read()) {
    text += piece.value
    if (text.includes(end)) break
  }
  await reader?.cancel()
  return text
}

test('frames cut at every byte are read as they were meant', async () => {
  const { next } = (await (
    await fetch(`${serving.url}/v1/events?from=now`, { headers: { accept: 'application/json' } })
  ).json()) as { next: string }
  await writer.append({ name: 'ä€😀', note: 'a\nb\r\nc: d' }, { name: 'plain' }, { name: 'end' })
  const bytes = new TextEncoder().encode(await follow(next, '"end"'))
  // One body holds the same frames again and again, each time cut elsewhere.
  const copies = bytes.length + 1
  let at = 0
  const body = new ReadableStream({
    pull(controller) {
      if (at === copies) return
      if (at > 0) controller.enqueue(bytes.subarray(0, at))
      if (at < bytes.length) controller.enqueue(bytes.subarray(at))
      at++
    },
  })
  const headers = { 'content-type': 'text/event-stream' }
  const source = new EventSource('http://relay/', { fetch: async () => new Response(body, { headers }) })
  const seen: string[] = []
  const note = ({ type, lastEventId, data }: MessageEvent) => void seen.push(`${type} ${lastEventId} ${data}`)
  source.onmessage = note
  source.addEventListener('ready', note)
  await until(() => seen.length >= 4 * copies)
  source.close()
  const whole = seen.slice(0, 4)
  expect(whole[1]).toContain('ä€😀')
  expect(seen).toEqual(Array.from({ length: copies }, () => whole).flat())
})

test('a thousand readers that come back at once with their places lose and double nothing', async () => {
  const count = 300
  for (let i = 0; i < count; i += 50) {
    await writer.append(...Array.from({ length: 50 }, (_, j) => ({ name: `storm-${i + j}` })))
  }
  const headers = { accept: 'application/json' }
  const page = await fetch(`${serving.url}/v1/events?limit=1000`, { headers })
  const { events } = (await page.json()) as { events: { cursor: string; data: { name: string } }[] }
  const cursors = events.filter(({ data }) => data.name.startsWith('storm-')).map(({ cursor }) => cursor)
  expect(cursors).toHaveLength(count)
  const writing = until(async () => (await serving.countStreams()) > 100).then(() =>
    writer.append({ name: 'storm-live' }, { name: 'storm-end' }),
  )
  const readers = Array.from({ length: 1_000 }, async (_, i) => {
    const from = i % count
    const text = await follow(cursors[from] ?? '', '"storm-end"')
    const names = [...text.matchAll(/"name":"(storm-\w+)"/g)].map(([, name]) => name)
    const rest = Array.from({ length: count - from - 1 }, (_, j) => `storm-${from + 1 + j}`)
    expect(names).toEqual([...rest, 'storm-live', 'storm-end'])
  })
  await Promise.all([writing, ...readers])
})

test('answers are what the description says', async () => {
  const pod = { phase: 'Running', status: 'Running', ready: '1/1', isReady: true, restarts: 0, containers: [] }
  await writer.append({ namespace: 'whole', ...pod })
  const described = (await (await fetch(`${serving.url}/openapi.json`)).json()) as Document
  const check = { method: 'POST', body: '{"filter":{"name":"plain"}}', headers: { 'content-type': 'application/json' } }
  const requests: [string, string, RequestInit?][] = [
    ['/v1/events', '/v1/events?limit=5'],
    ['/v1/pods', '/v1/pods?namespace=whole'],
    ['/v1/leases', '/v1/leases'],
    ['/v1/webhooks', '/v1/webhooks'],
    ['/v1/filters/check', '/v1/filters/check', check],
    ['/v1/tickets', '/v1/tickets', { method: 'POST' }],
    ['/v1/login', '/v1/login'],
    ['/v1/login', '/v1/login', { method: 'POST' }],
    ['/healthz', '/healthz'],
    ['/readyz', '/readyz'],
    ['/v1/events', '/v1/events?limit=0'],
    ['/v1/pods/{namespace}/{name}', '/v1/pods/shop/nobody'],
  ]
  for (const [route, path, init = {}] of requests) {
    const response = await fetch(`${serving.url}${path}`, { headers: { accept: 'application/json' }, ...init })
    const method = (init.method ?? 'GET').toLowerCase()
    const type = response.headers.get('content-type')?.split(';')[0] ?? ''
    const schema = described.paths[route]?.[method]?.responses[response.status]?.content?.[type]?.schema
    expect(schema, `${method} ${path} ${response.status} ${type}`).toBeDefined()
    expect(findMisfits(await response.json(), schema ?? {}, described, path)).toEqual([])
  }
})

interface Schema {
  $ref?: string
  type?: string | string[]
  required?: string[]
  properties?: Record<string, Schema>
  additionalProperties?: boolean | Schema
  items?: Schema
  enum?: unknown[]
  anyOf?: Schema[]
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, { content?: Record<string, { schema: Schema }> }> }>>
  components: { schemas: Record<string, Schema> }
}

/** As much of JSON Schema as the description uses. */
function findMisfits(value: unknown, schema: Schema, root: Document, at: string): string[] {
  if (schema.$ref !== undefined) {
    return findMisfits(value, root.components.schemas[schema.$ref.split('/').at(-1) ?? ''] ?? {}, root, at)
  }
  if (schema.anyOf !== undefined) {
    const all = schema.anyOf.map((one) => findMisfits(value, one, root, at))
    return all.some((misfits) => misfits.length === 0) ? [] : all.flat()
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${at}: ${value}`]
  const types = [schema.type ?? []].flat()
  const isOne = (type: string) => type === typeOf(value) || (type === 'number' && typeOf(value) === 'integer')
  if (types.length > 0 && !types.some(isOne)) return [`${at}: ${typeOf(value)}, not ${types}`]
  if (Array.isArray(value))
    return value.flatMap((item, i) => findMisfits(item, schema.items ?? {}, root, `${at}[${i}]`))
  if (typeof value !== 'object' || value === null) return []
  const missing = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${at}.${name} is missing`)
  const members = Object.entries(value).flatMap(([name, member]) => {
    const own = schema.properties?.[name]
    const other = schema.additionalProperties
    if (own === undefined && other === false) return [`${at}.${name} is not described`]
    return findMisfits(member, own ?? (typeof other === 'object' ? other : {}), root, `${at}.${name}`)
  })
  return [...missing, ...members]
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}
