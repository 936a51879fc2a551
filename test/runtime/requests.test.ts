import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type SampleWriter, until } from '../functions/serving.ts'
import { type Running, runtimes } from './runtimes.ts'

describe.each(runtimes)('requests on $name', ({ start }) => {
  let running: Running
  let pods: SampleWriter
  let leases: SampleWriter

  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`${running.url}${path}`, {
      ...init,
      headers: { accept: 'application/json', 'content-type': 'application/json', ...init.headers },
    })
    const text = await response.text()
    const isJson = /json/.test(response.headers.get('content-type') ?? '')
    // biome-ignore lint/suspicious/noExplicitAny: answers of many routes, looked into by tests.
    const body: any = isJson && text !== '' ? JSON.parse(text) : text
    return { status: response.status, headers: response.headers, body }
  }
  const send = (method: string, body: unknown): RequestInit => ({ method, body: JSON.stringify(body) })

  beforeAll(async () => {
    running = await start({ limits: { body: 4_096, maxStreams: 2, rate: 20 }, origins: ['https://ops.example.com'] })
    pods = await running.createWriter('pods')
    leases = await running.createWriter('leases')
    await pods.append({ name: 'web-1', phase: 'Running' }, { name: 'web-2', phase: 'Failed' })
    await leases.append({ name: 'leader', holder: 'a', acquireTime: '2026-01-01T00:00:00.000Z' })
  })
  afterAll(() => running.stop())

  test('are answered with current Pods and Leases, and a cursor to go on from', async () => {
    const { body } = await ask('/v1/pods?phase=Failed')
    expect(body.items.map(({ name }: { name: string }) => name)).toEqual(['web-2'])
    expect((await ask('/v1/pods/shop/web-1')).body).toMatchObject({ name: 'web-1', phase: 'Running' })
    expect((await ask('/v1/leases/shop/leader')).body).toMatchObject({ name: 'leader', holder: 'a' })
    await pods.append({ name: 'web-3' })
    const page = await ask(`/v1/events?from=${body.cursor}`)
    expect(page.body.events.map(({ subject }: { subject: string }) => subject)).toEqual(['shop/web-3'])
  })

  test('for what the asker has are answered 304, and say how long an answer holds', async () => {
    const first = await ask('/v1/leases/shop/leader')
    const etag = first.headers.get('etag') ?? ''
    expect(etag).not.toBe('')
    expect(first.headers.get('cache-control')).toBe('public, max-age=1, stale-while-revalidate=5')
    expect((await ask('/v1/leases/shop/leader', { headers: { 'if-none-match': etag } })).status).toBe(304)
    await leases.append({ name: 'leader', holder: 'b', acquireTime: '2026-01-02T00:00:00.000Z' })
    await until(
      async () => (await ask('/v1/leases/shop/leader', { headers: { 'if-none-match': etag } })).status === 200,
    )
    expect((await ask('/v1/leases/shop/leader')).body.holder).toBe('b')
  })

  test('for events wait until one comes', async () => {
    const { next } = (await ask('/v1/events?from=now')).body
    const waiting = ask(`/v1/events?from=${next}&wait=20&name=late`)
    await new Promise((resolve) => setTimeout(resolve, 300))
    await pods.append({ name: 'late' })
    expect((await waiting).body.events).toHaveLength(1)
  })

  test('manage webhooks', async () => {
    const wish = { url: 'http://127.0.0.1:9000/', filter: { 'phase.to': ['Failed'] } }
    const created = await ask('/v1/webhooks', send('POST', wish))
    expect(created).toMatchObject({ status: 201, body: { ...wish, enabled: true } })
    expect(created.body.secret).toMatch(/^whsec_/)
    const { id } = created.body
    expect((await ask(`/v1/webhooks/${id}`)).body.secret).toBeUndefined()
    expect((await ask('/v1/webhooks')).body.items).toHaveLength(1)
    const changed = await ask(`/v1/webhooks/${id}`, send('PATCH', { description: 'mine' }))
    expect(changed).toMatchObject({ status: 200, body: { description: 'mine' } })
    expect(await ask(`/v1/webhooks/${id}/test`, { method: 'POST' })).toMatchObject({ status: 202 })
    expect((await ask(`/v1/webhooks/${id}/deliveries`)).body.items).toHaveLength(1)
    expect((await ask(`/v1/webhooks/${id}/secrets`)).status).not.toBe(500)
    expect((await ask('/v1/webhooks', send('POST', { url: 'http://10.0.0.1/' }))).status).toBe(400)
    expect((await ask(`/v1/webhooks/${id}`, { method: 'DELETE' })).status).toBe(204)
    expect((await ask(`/v1/webhooks/${id}`)).status).toBe(404)
  })

  test.each([
    ['GET', '/nope', 404, 'not_found'],
    ['DELETE', '/v1/pods', 405, 'method_not_allowed'],
    ['GET', '/v1/pods?colour=red', 400, 'invalid'],
    ['GET', '/v1/events?from=yesterday', 400, 'invalid'],
    ['GET', '/v1/events?where=data.', 400, 'invalid'],
    ['GET', '/v1/leases/shop/nobody', 404, 'not_found'],
    ['GET', '/v1/events/ws', 400, 'invalid'],
  ])('that cannot be answered get a problem: %s %s', async (method, path, status, code) => {
    const answer = await ask(path, { method })
    expect(answer).toMatchObject({ status, body: { status, type: `urn:kube-watch-relay:problem:${code}` } })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('that ask for too much are told so', async () => {
    const long = await ask('/v1/webhooks', send('POST', { url: `http://127.0.0.1/${'x'.repeat(5_000)}` }))
    expect(long).toMatchObject({ status: 413, body: { type: 'urn:kube-watch-relay:problem:too_large' } })
    const aborts = [new AbortController(), new AbortController()]
    for (const { signal } of aborts) await fetch(`${running.url}/v1/events`, { signal })
    const third = await ask('/v1/events', { headers: { accept: 'text/event-stream' } })
    expect(third).toMatchObject({ status: 503, body: { detail: 'All 2 streams are taken; try again later.' } })
    expect(third.headers.get('retry-after')).toBe('10')
    expect(third.headers.get('relay-hub-room')).toBeNull()
    for (const abort of aborts) abort.abort()
    await until(async () => {
      const answers = await Promise.all(Array.from({ length: 40 }, () => ask('/v1/webhooks')))
      return answers.some(({ status }) => status === 429)
    })
  })

  test('of other pages are answered where their origin is named', async () => {
    const from = (origin: string) => ask('/healthz', { headers: { origin } })
    const allowed = (answer: Awaited<ReturnType<typeof from>>) => answer.headers.get('access-control-allow-origin')
    expect(allowed(await from('https://ops.example.com'))).toBe('https://ops.example.com')
    expect(allowed(await from('https://evil.example.com'))).toBeNull()
  })

  test('for the page and the description are answered with headers that keep it safe', async () => {
    for (const path of ['/', '/page/page.js', '/page/page.css', '/openapi.json']) {
      const { status, headers } = await ask(path)
      expect(status, path).toBe(200)
      expect(headers.get('content-security-policy'), path).toContain("default-src 'none'")
    }
    expect((await ask('/openapi.json')).body.paths['/v1/events'].get.operationId).toBeDefined()
    expect((await ask('/healthz')).body).toEqual({ status: 'ok' })
    expect((await ask('/readyz')).status).toBe(503)
  })
})
