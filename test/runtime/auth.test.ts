import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiKeyStore, createApiKeyStore } from '../../shared/api-key.ts'
import { keys, until } from '../functions/serving.ts'
import { openSocket } from './open-socket.ts'
import { type Running, runtimes } from './runtimes.ts'

const json = { accept: 'application/json' }

describe.each(runtimes)('callers on $name', ({ start }) => {
  describe('with API keys', () => {
    let running: Running
    let store: ApiKeyStore
    const make = async (tenant: string, namespaces: string[]) => {
      const grants = [{ namespaces, resources: ['*'] }]
      const createdAt = new Date().toISOString()
      return store.create({ tenant, grants, actions: ['read', 'webhooks'], createdAt })
    }
    const get = (path: string, key?: string) =>
      fetch(`${running.url}${path}`, {
        headers: key === undefined ? json : { ...json, authorization: `Bearer ${key}` },
      })

    beforeAll(async () => {
      running = await start({ auth: { mode: 'keys' }, limits: { review: 200, heartbeat: 300 } })
      store = createApiKeyStore(running.client, keys)
      const writer = await running.createWriter()
      await writer.append({ name: 'mine', namespace: 'shop' }, { name: 'other', namespace: 'bank' })
    })
    afterAll(() => running.stop())

    test('are asked who they are, and see what their key is for', async () => {
      const { key } = await make('shop', ['shop'])
      expect((await get('/v1/events')).status).toBe(401)
      expect((await get('/v1/events', 'rk_nobody')).status).toBe(401)
      const page = (await (await get('/v1/events', key)).json()) as { events: { subject: string }[] }
      expect(page.events.map(({ subject }) => subject)).toEqual(['shop/mine'])
      expect((await get('/v1/pods?namespace=shop', key)).status).toBe(200)
      expect((await get('/v1/pods?namespace=bank', key)).status).toBe(403)
      expect((await get('/v1/pods/bank/other', key)).status).toBe(404)
    })

    test('never get what another one was answered, however soon they ask', async () => {
      const { key: all } = await make('all', ['*'])
      const { key: shop } = await make('shop-too', ['shop'])
      for (let i = 0; i < 3; i++) {
        const whole = await get('/v1/pods', all)
        expect(whole.status).toBe(200)
        expect(whole.headers.get('cache-control')).toBe('private, no-cache')
        expect((await get('/v1/pods', shop)).status).toBe(403)
        expect((await get('/v1/pods')).status).toBe(401)
      }
    })

    test('lose streams, sockets and answers with their key', async () => {
      const { key, record } = await make('gone', ['*'])
      expect((await get('/v1/pods', key)).status).toBe(200)
      const stream = await fetch(`${running.url}/v1/events`, { headers: { authorization: `Bearer ${key}` } })
      const ticket = await fetch(`${running.url}/v1/tickets`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
      })
      const socket = await openSocket(running.url, `?ticket=${((await ticket.json()) as { ticket: string }).ticket}`)
      await until(() => socket.count('ready') === 1)
      await store.revoke(record.id)
      await stream.text()
      expect(await socket.closed).toBe(1001)
      await until(async () => (await get('/v1/pods', key)).status === 401, 30_000)
    })
  })

  describe('with tokens of an issuer', () => {
    let running: Running
    let issuer: Server
    let pair: GenerateKeyPairResult
    let url: string

    beforeAll(async () => {
      pair = await generateKeyPair('ES256')
      const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'ES256' }
      issuer = createServer((request, response) => {
        const isConfiguration = request.url === '/.well-known/openid-configuration'
        const answer = isConfiguration ? { issuer: url, jwks_uri: `${url}keys` } : { keys: [jwk] }
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      })
      await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
      url = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/`
      running = await start({ auth: { mode: 'jwt', issuer: url } })
      const writer = await running.createWriter()
      await writer.append({ name: 'mine', namespace: 'shop' }, { name: 'other', namespace: 'bank' })
    })
    afterAll(async () => {
      await running.stop()
      issuer.close()
    })

    const sign = (claims: Record<string, unknown>, seconds = 60) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'one' })
        .setIssuer(url)
        .setSubject('somebody')
        .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
        .sign(pair.privateKey)

    test('see what its claims say, until it ends', async () => {
      const ask = async (token: string) =>
        fetch(`${running.url}/v1/events`, { headers: { ...json, authorization: `Bearer ${token}` } })
      const good = await ask(await sign({ namespaces: 'shop', resources: '*' }))
      expect(good.status).toBe(200)
      const { events } = (await good.json()) as { events: { subject: string }[] }
      expect(events.map(({ subject }) => subject)).toEqual(['shop/mine'])
      expect((await ask(await sign({ namespaces: 'shop', resources: '*' }, -60))).status).toBe(401)
      expect((await ask('x.y.z')).status).toBe(401)
      const soon = await sign({ namespaces: 'shop', resources: '*' }, 2)
      const stream = await fetch(`${running.url}/v1/events`, { headers: { authorization: `Bearer ${soon}` } })
      expect(stream.status).toBe(200)
      await stream.text()
    })
  })
})
