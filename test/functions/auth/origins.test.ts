import { afterEach, describe, expect, test } from 'vitest'
import { startServe } from '../../../functions/node.ts'
import type { Logger } from '../../../shared/role.ts'
import { type Serving, serveConfig, startServing } from '../serving.ts'

describe('without asking anybody', () => {
  let serving: Serving | undefined
  afterEach(() => serving?.stop())

  test.each(['0.0.0.0', '::', '10.1.2.3', 'relay.example.com'])('refuses to listen on %s', async (host) => {
    const log = {} as Logger
    await expect(startServe({ ...serveConfig, host, redisUrl: 'redis://127.0.0.1:1' }, log)).rejects.toThrow(
      'RELAY_AUTH',
    )
  })

  const allowed = 'https://ops.example.com'
  const others = [
    'https://evil.example.com',
    'null',
    `${allowed}.evil.example`,
    'http://ops.example.com',
    `${allowed}:8443`,
  ]

  test('lets pages of the origins that are allowed call it, and no others', async () => {
    serving = await startServing({ origins: [allowed] })
    const { url } = serving
    const read = (origin: string, path: string) =>
      fetch(`${url}${path}`, { headers: { origin, accept: 'application/json' } })
    const preflight = (origin: string, method: string) =>
      fetch(`${url}/v1/webhooks`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': method,
          'access-control-request-headers': 'idempotency-key',
        },
      })
    for (const path of ['/v1/events', '/v1/pods', '/v1/nothing']) {
      const { headers } = await read(allowed, path)
      expect(headers.get('access-control-allow-origin'), path).toBe(allowed)
      // A cookie is never for another origin.
      expect(headers.has('access-control-allow-credentials')).toBe(false)
    }
    for (const path of ['/v1/events', '/v1/pods'])
      expect((await read(allowed, path)).headers.get('vary')).toMatch(/origin/i)
    const asked = await preflight(allowed, 'POST')
    expect(asked.status).toBe(204)
    expect(asked.headers.get('access-control-allow-headers')?.toLowerCase()).toContain('idempotency-key')
    for (const origin of others) {
      expect((await read(origin, '/v1/events')).headers.get('access-control-allow-origin'), origin).toBeNull()
      expect((await preflight(origin, 'POST')).headers.get('access-control-allow-origin'), origin).toBeNull()
    }
  })

  test('opens WebSockets for pages of the origins that are allowed and its own, and for programs', async () => {
    serving = await startServing({ origins: [allowed] })
    const { url } = serving
    const open = (headers: Record<string, string>) =>
      new Promise<boolean>((resolve) => {
        // Beyond what browsers can do: the sockets of Node send headers.
        const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/events/ws`, { headers } as unknown as string[])
        socket.addEventListener('open', () => {
          socket.close()
          resolve(true)
        })
        socket.addEventListener('error', () => resolve(false))
      })
    expect(await open({})).toBe(true)
    expect(await open({ origin: allowed })).toBe(true)
    expect(await open({ origin: url })).toBe(true)
    for (const origin of others) expect(await open({ origin }), origin).toBe(false)
  })

  test('takes no body that a form of another page can send', async () => {
    serving = await startServing()
    const body = JSON.stringify({ url: 'http://127.0.0.1:9000/', filter: {} })
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      const headers = { 'content-type': type, origin: 'https://evil.example.com' }
      for (const path of ['/v1/webhooks', '/v1/webhooks?dryRun=true', '/v1/filters/check']) {
        expect(
          (await fetch(`${serving.url}${path}`, { method: 'POST', headers, body })).status,
          `${type} ${path}`,
        ).toBe(415)
      }
    }
    const untyped = await fetch(`${serving.url}/v1/webhooks`, { method: 'POST', body: new Blob([body]) })
    expect(untyped.status).toBeGreaterThanOrEqual(400)
    expect(await (await fetch(`${serving.url}/v1/webhooks`)).json()).toMatchObject({ items: [] })
  })
})
