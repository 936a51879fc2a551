import { afterAll, beforeAll, expect, test } from 'vitest'
import { createApp } from '../../functions/app.ts'
import { startServe } from '../../functions/node.ts'
import { nameFeed, parseResources } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { startTestRedis } from '../support/redis.ts'
import { keys, type SampleWriter, type Serving, serveConfig, startServing } from './serving.ts'

let serving: Serving
let pods: SampleWriter
let leases: SampleWriter

beforeAll(async () => {
  serving = await startServing()
  pods = await serving.createWriter('pods')
  leases = await serving.createWriter('leases')
})
afterAll(() => serving.stop())

async function get(path: string, init: RequestInit = {}) {
  const response = await fetch(`${serving.url}${path}`, init)
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
}
const asPage = { headers: { accept: 'application/json' } }

test.each([
  ['/v1/events?colour=red', 400, 'colour'],
  ['/v1/events?from=yesterday', 400, 'from'],
  ['/v1/events?from=2026-99-99T00:00:00Z', 400, 'from'],
  ['/v1/events?from=2026-02-30T00:00:00Z', 400, 'from'],
  ['/v1/events?phase=Sleeping', 400, 'phase'],
  ['/v1/events?labelSelector=a%20in%20b', 400, 'labelSelector'],
  ['/v1/events?labelSelector=a&labelSelector=b', 400, 'labelSelector'],
  ['/v1/events?resource=pod', 400, 'resource'],
  ['/v1/events?limit=0', 400, 'limit'],
  ['/v1/events?limit=1001', 400, 'limit'],
  ['/v1/events?limit=1&limit=2', 400, 'limit'],
  ['/v1/pods?limit=many', 400, 'limit'],
  ['/v1/pods?continue=%00', 400, 'continue'],
  ['/v1/pods?continue=abcd', 400, 'continue'],
  ['/v1/pods?labelSelector=%3D', 400, 'labelSelector'],
  ['/v1/leases/a/b/holders?since=noon', 400, 'since'],
  ['/v1/pods/shop/nobody', 404, undefined],
  ['/v1/leases/shop/nobody', 404, undefined],
  ['/v1/leases/shop/nobody/holders', 404, undefined],
  ['/v1/nothing', 404, undefined],
  ['/page/..%2fnode.ts', 404, undefined],
])('GET %s answers %i', async (path, status, field) => {
  const { body, ...answer } = await get(path)
  expect(answer.status).toBe(status)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(body).toMatchObject({ status, title: expect.any(String), detail: expect.any(String) })
  expect(body.field).toBe(field)
})

test('names the header at fault', async () => {
  expect((await get('/v1/events', { headers: { 'last-event-id': 'x' } })).body.field).toBe('Last-Event-ID')
  const refused = await get('/v1/events', { headers: { accept: 'text/html' } })
  expect(refused.status).toBe(406)
  expect(refused.body.detail).toContain('text/event-stream')
})

test('manages webhooks through the same doors', async () => {
  const post = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    get('/v1/webhooks', { method: 'POST', body, headers })
  const created = await post('{"url": "http://127.0.0.1:9000/", "filter": {"phase.to": ["Failed"]}}')
  expect(created.status).toBe(201)
  expect(created.body).toMatchObject({ id: expect.any(String), secret: expect.stringMatching(/^whsec_/) })
  expect((await get('/v1/webhooks')).body.items).toHaveLength(1)
  expect((await post('{')).body).toMatchObject({ status: 400, field: 'body' })
  expect((await post('{"url": "http://127.0.0.1:9000/", "filter": {"colour": "red"}}')).body.field).toMatch(/colour$/)
  expect((await post(`{"url": "${'x'.repeat(70_000)}"}`)).status).toBe(413)
  expect((await get('/v1/webhooks', { method: 'PUT' })).headers.get('allow')).toContain('POST')
})

test('refuses other methods, and bodies that are too long', async () => {
  const refused = await get('/v1/pods', { method: 'DELETE' })
  expect(refused.status).toBe(405)
  expect(refused.headers.get('allow')).toBe('GET, HEAD')
  expect(refused.body.status).toBe(405)
  const long = await get('/v1/pods', { method: 'POST', body: 'x'.repeat(70_000) })
  expect(long.status).toBe(413)
})

test('answers HEAD as GET without a body', async () => {
  const response = await fetch(`${serving.url}/v1/pods`, { method: 'HEAD' })
  expect(response.status).toBe(200)
  expect(await response.text()).toBe('')
})

test.each([
  [undefined, 'text/event-stream'],
  ['*/*', 'text/event-stream'],
  ['text/event-stream', 'text/event-stream'],
  ['text/html, */*;q=0.8', 'text/event-stream'],
  ['application/json', 'application/json'],
  ['application/json, text/plain, */*', 'application/json'],
  ['application/json;q=0.5, text/event-stream', 'text/event-stream'],
  ['application/json, text/event-stream', 'text/event-stream'],
])('answers Accept: %s with %s', async (accept, type) => {
  const headers = accept === undefined ? {} : { accept }
  const response = await fetch(`${serving.url}/v1/events`, { method: 'HEAD', headers })
  expect(response.headers.get('content-type')).toBe(type)
})

test('pages through events, past those that do not match, and always moves on', async () => {
  const start = (await get('/v1/events?from=now', asPage)).body.next
  await pods.append(...Array.from({ length: 300 }, (_, i) => ({ name: i % 100 === 0 ? 'rare' : `p-${i}` })))
  const seen: string[] = []
  let next = start
  for (;;) {
    const { body, headers } = await get(`/v1/events?name=rare&limit=2&from=${next}`, asPage)
    expect(headers.get('link')).toBe(`<?name=rare&limit=2&from=${body.next}>; rel="next"`)
    if (body.events.length === 0) break
    for (const event of body.events) seen.push(event.cursor)
    expect(body.next).not.toBe(next)
    next = body.next
  }
  expect(seen).toHaveLength(3)
  const rest = await get(`/v1/events?from=${seen[1]}&name=rare`, asPage)
  expect(rest.body.events.map((event: { cursor: string }) => event.cursor)).toEqual([seen[2]])
})

test('lists Pods page by page, narrowed, with one cursor to continue from', async () => {
  await pods.append(
    ...['a', 'a-b', 'b'].flatMap((namespace) =>
      [1, 2, 3].map((i) => ({
        namespace,
        name: `x-${i}`,
        phase: i === 3 ? 'Failed' : 'Running',
        labels: { i: `${i}` },
      })),
    ),
  )
  const all: string[] = []
  const cursors = new Set<string>()
  let next: string | undefined
  do {
    const { body } = await get(`/v1/pods?namespace=a,b&namespace=a-b&limit=2${next ? `&continue=${next}` : ''}`)
    await pods.append({ namespace: 'a', name: 'x-1', phase: 'Running', labels: { i: '1' } })
    for (const item of body.items) all.push(`${item.namespace}/${item.name}`)
    cursors.add(body.cursor)
    next = body.next
  } while (next !== undefined)
  expect(all.sort()).toEqual(['a', 'a-b', 'b'].flatMap((n) => [1, 2, 3].map((i) => `${n}/x-${i}`)).sort())
  expect(cursors.size).toBe(1)
  const since = await get(`/v1/events?from=${[...cursors][0]}`, asPage)
  expect(since.body.events.length).toBeGreaterThan(0)

  const select = async (query: string) =>
    (await get(`/v1/pods?${query}`)).body.items.map((item: { name: string }) => item.name)
  expect(await select('namespace=a&phase=Failed')).toEqual(['x-3'])
  expect(await select('namespace=a&labelSelector=i+in+(1,2)')).toEqual(['x-1', 'x-2'])
  expect(await select('namespace=a-b&name=x-2')).toEqual(['x-2'])
  expect((await get('/v1/pods/a/x-3')).body).toMatchObject({ name: 'x-3', phase: 'Failed' })
})

test('tells who holds a Lease, until when, and who held it', async () => {
  const now = Date.now()
  const at = (seconds: number) => new Date(now + seconds * 1000).toISOString()
  const term = { holder: 'two', from: at(-100), began: 'transferred', renewals: 9, transitions: 1 }
  await leases.append({
    name: 'leader',
    holder: 'two',
    durationSeconds: 15,
    renewed: at(-5),
    expired: false,
    term,
  })
  await leases.operate([{ op: 'hold', key: 'shop/leader', holder: 'two' }])
  await leases.append({ name: 'stale', holder: 'one', durationSeconds: 15, renewed: at(-60), expired: false })
  await leases.append({ name: 'free', holder: null, expired: false })
  const ended = { holder: 'one', from: at(-500), to: at(-110), began: 'acquired', ended: 'released', renewals: 3 }
  const keep = { count: 10, ms: 3_600_000 }
  await leases.operate([{ op: 'term', key: 'shop/leader', holder: 'one', term: JSON.stringify(ended), keep }])

  expect((await get('/v1/leases/shop/leader')).body).toMatchObject({
    holder: 'two',
    since: at(-100),
    expires: at(10),
    expired: false,
  })
  expect((await get('/v1/leases/shop/stale')).body).toMatchObject({ expires: at(-45), expired: false })
  expect((await get('/v1/leases/shop/free')).body).not.toHaveProperty('expires')
  const held = await get('/v1/leases?holder=two')
  expect(held.body.items.map((item: { name: string }) => item.name)).toEqual(['leader'])

  const holders = async (query: string) =>
    (await get(`/v1/leases/shop/leader/holders${query}`)).body.items.map((item: { holder: string }) => item.holder)
  expect(await holders('')).toEqual(['two', 'one'])
  expect(await holders('?limit=1')).toEqual(['two'])
  expect(await holders(`?until=${at(-200)}`)).toEqual(['one'])
  expect(await holders(`?since=${at(-105)}`)).toEqual(['two'])
})

test('is ready only while every feed is in sync and its watcher speaks', async () => {
  const [podFeed, leaseFeed] = parseResources('pods,leases').map(nameFeed)
  const reasons = async () => (await get('/readyz')).body.reasons
  const report = (feed: string | undefined, state: object) =>
    serving.client.hset(keys.own('status'), String(feed), JSON.stringify(state))
  const now = () => new Date().toISOString()
  expect(await reasons()).toEqual([podFeed, leaseFeed].map((feed) => `${feed}: no watcher has reported yet.`))
  await report(podFeed, { state: 'synced', at: now() })
  await report(leaseFeed, { state: 'synced', at: now() })
  await report('/a/feed/of/an/earlier/configuration', { state: 'degraded', at: now() })
  expect(await get('/readyz')).toMatchObject({ status: 200, body: { ready: true, reasons: [] } })
  await report(podFeed, { state: 'degraded', reason: 'the API server answers 500', at: now() })
  expect(await get('/readyz')).toMatchObject({
    status: 503,
    body: { ready: false, reasons: [`${podFeed}: degraded, the API server answers 500.`] },
  })
  await report(podFeed, { state: 'synced', at: new Date(Date.now() - 31_000).toISOString() })
  expect((await reasons())[0]).toMatch(/silent for 31 s/)
})

test('lists every route in its OpenAPI document', async () => {
  const { body } = await get('/openapi.json')
  const app = createApp({
    cluster: 'test',
    redis: serving.client,
    connect: () => ({ redis: serving.client, close: () => undefined }),
    log: {} as Logger,
    resources: [],
    webhooks: { encryptionKey: 'key', policy: createAddressPolicy({ allowCidrs: [], allowHttp: false }) },
  })
  const routes = app.hono.routes.filter(({ method }) => method !== 'ALL')
  expect(routes.length).toBeGreaterThan(10)
  for (const { method, path } of routes) {
    const documented = body.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()]
    expect(documented, `${method} ${path}`).toBeDefined()
  }
  expect(body.paths['/v1/events'].get.responses['200'].content).toHaveProperty('text/event-stream')
})

test('serves a page that loads nothing from elsewhere', async () => {
  const response = await fetch(serving.url)
  expect(response.headers.get('content-type')).toContain('text/html')
  expect(response.headers.get('content-security-policy')).toContain("default-src 'none'")
  const html = await response.text()
  const files = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, file]) => file ?? '')
  expect(files).toContain('/page/page.js')
  for (const file of files) {
    expect(file.startsWith('/')).toBe(true)
    expect((await fetch(`${serving.url}${file}`)).status, file).toBe(200)
  }
  expect(html).not.toMatch(/<script>|<style>|style="|onclick=/)
})

test('names PORT when it is taken', async () => {
  const port = Number(new URL(serving.url).port)
  const config = { ...serveConfig, port, redisUrl: serving.redis.url }
  const log = { debug: () => undefined, warn: () => undefined, info: () => undefined } as unknown as Logger
  await expect(startServe(config, log)).rejects.toThrow(`PORT: ${port}`)
})

test('listens though Redis cannot be reached, says so, and logs it once', async () => {
  const redis = await startTestRedis()
  await redis.stop()
  const lines: string[] = []
  const log = { debug: () => undefined, info: () => undefined, warn: (_: object, line: string) => lines.push(line) }
  const running = await startServe({ ...serveConfig, redisUrl: redis.url }, log as unknown as Logger)
  const { url } = running.about
  try {
    const ready = await fetch(`${url}/readyz`)
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ ready: false, reasons: ['Redis cannot be reached.'] })
    for (const path of ['/v1/events', '/v1/events?from=state', '/v1/pods', '/v1/leases/a/b', '/v1/webhooks']) {
      const refused = await fetch(`${url}${path}`)
      expect(refused.status, path).toBe(503)
      expect(Number(refused.headers.get('retry-after')), path).toBeGreaterThan(0)
    }
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    expect(lines).toEqual(['Redis cannot be reached; trying on'])
  } finally {
    await running.stop()
  }
})
