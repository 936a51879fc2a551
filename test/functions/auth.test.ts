import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiKeyStore, createApiKeyStore } from '../../shared/api-key.ts'
import { keys, type SampleWriter, type Serving, startServing, until } from './serving.ts'

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const page = { accept: 'application/json' }

interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: answers of many routes, looked into by tests.
  body: any
}

async function ask(url: string, token: string | undefined, path: string, init: RequestInit = {}): Promise<Answer> {
  const headers = { ...page, ...(token === undefined ? {} : bearer(token)), ...(init.headers as object) }
  const response = await fetch(`${url}${path}`, { ...init, headers })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}

/** Follows a stream to its end; answers what came. */
async function follow(url: string, token: string | undefined, query = ''): Promise<{ status: number; text: string }> {
  const headers = { accept: 'text/event-stream', ...(token === undefined ? {} : bearer(token)) }
  const response = await fetch(`${url}/v1/events${query}`, { headers })
  return { status: response.status, text: await response.text() }
}

const post = (body: unknown): RequestInit => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
})

describe('with API keys', () => {
  let serving: Serving
  let store: ApiKeyStore
  let pods: SampleWriter
  const tokens: Record<string, string> = {}
  const createdAt = new Date().toISOString()
  const make = async (tenant: string, namespaces: string[], resources = ['*'], more: object = {}) => {
    const grants = [{ namespaces, resources }]
    const { key } = await store.create({ tenant, grants, actions: ['read', 'webhooks'], createdAt, ...more })
    tokens[tenant] = key
    return key
  }

  beforeAll(async () => {
    serving = await startServing({ auth: { mode: 'keys' }, limits: { review: 200, heartbeat: 300 } })
    store = createApiKeyStore(serving.client, keys)
    pods = await serving.createWriter('pods')
    await make('admin', ['*'])
    await make('shop', ['shop'])
    await make('teams', ['team-*'], ['pods'])
    await make('nothing', ['none'], ['leases'])
    await make('reader', ['*'], ['*'], { actions: ['read'] })
    await pods.append(
      { namespace: 'shop', name: 'a' },
      { namespace: 'team-x', name: 'b' },
      { namespace: 'bank', name: 'c' },
    )
  })
  afterAll(() => serving.stop())

  test('knows only keys that were given out, have not ended, and are sent in the header', async () => {
    const get = (token?: string) => ask(serving.url, token, '/v1/events')
    expect((await get()).status).toBe(401)
    expect((await get('x')).status).toBe(401)
    expect((await get(`${tokens.admin?.slice(0, -1)}_`)).status).toBe(401)
    expect((await get(tokens.admin)).status).toBe(200)
    expect((await ask(serving.url, undefined, `/v1/events?token=${tokens.admin}`)).status).toBe(401)
    const unnamed = await fetch(`${serving.url}/v1/pods`, { headers: bearer('x') })
    expect(unnamed.headers.get('www-authenticate')).toBe('Bearer')
    expect((await get('x'.repeat(9_000))).body.detail).toContain('longer than 8192')
    const huge = await get('x'.repeat(20_000))
    expect(huge).toMatchObject({ status: 431, body: { detail: expect.stringContaining('16 KiB') } })
    const over = await make('over', ['*'], ['*'], { expiresAt: new Date(Date.now() - 1).toISOString() })
    expect((await get(over)).status).toBe(401)
    for (const path of ['/healthz', '/readyz', '/openapi.json', '/']) {
      expect((await fetch(`${serving.url}${path}`)).status, path).not.toBe(401)
    }
  })

  test('tells probes whether it is ready, and only who may see everything why not', async () => {
    const why = ['Why is told to who may see everything.']
    for (const token of [undefined, 'wrong', tokens.shop]) {
      const { status, body } = await ask(serving.url, token, '/readyz')
      expect(status).toBe(503)
      expect(body).toMatchObject({ ready: false, reasons: why, feeds: {} })
    }
    const { body } = await ask(serving.url, tokens.admin, '/readyz')
    expect(body.reasons.join()).toContain('no watcher has reported yet')
    for (const [token, status] of [
      [undefined, 401],
      [tokens.shop, 403],
      [tokens.admin, 200],
    ] as const) {
      const metrics = await fetch(`${serving.url}/metrics`, { headers: token === undefined ? {} : bearer(token) })
      expect(metrics.status).toBe(status)
    }
  })

  test('keeps the hash of a key and not the key', async () => {
    const stored = JSON.stringify(await serving.client.hgetall(keys.own('api-keys')))
    expect(stored).toContain('"hash')
    for (const token of Object.values(tokens)) expect(stored).not.toContain(token.slice(12))
  })

  test('tells each tenant what they may see, old and new, and refuses what they name and may not', async () => {
    const from = 'from=start'
    const names = async (token: string | undefined, query: string) =>
      (await ask(serving.url, token, `/v1/events?${query}`)).body.events.map(
        (event: { subject: string }) => event.subject,
      )
    expect(await names(tokens.shop, from)).toEqual(['shop/a'])
    expect(await names(tokens.teams, from)).toEqual(['team-x/b'])
    expect(await names(tokens.teams, `${from}&namespace=team-x,team-y`)).toEqual(['team-x/b'])
    expect(await names(tokens.reader, from)).toHaveLength(3)
    const refused = await ask(serving.url, tokens.shop, `/v1/events?resource=pods&namespace=bank`)
    expect(refused).toMatchObject({ status: 403, body: { detail: expect.stringContaining('bank') } })
    expect((await ask(serving.url, tokens.shop, '/v1/pods')).body.field).toBe('namespace')
    expect((await ask(serving.url, tokens.shop, '/v1/pods?namespace=shop')).status).toBe(200)
  })

  test('gives webhooks to their owners, with filters of what those may see', async () => {
    const create = (tenant: string, filter: object) =>
      ask(serving.url, tokens[tenant], '/v1/webhooks', post({ url: 'http://127.0.0.1:9000/', filter }))
    expect((await create('reader', {})).status).toBe(403)
    expect((await create('shop', {})).status).toBe(403)
    expect((await create('shop', { resource: 'pods', namespace: 'shop,bank' })).status).toBe(403)
    const made = await create('shop', { resource: 'pods', namespace: 'shop' })
    expect(made.status).toBe(201)
    const path = `/v1/webhooks/${made.body.id}`
    const patch = (body: object) => ask(serving.url, tokens.shop, path, { ...post(body), method: 'PATCH' })
    expect((await patch({ filter: {} })).status).toBe(403)
    expect((await patch({ description: 'mine' })).status).toBe(200)
    expect((await ask(serving.url, tokens.shop, '/v1/webhooks')).body.items).toHaveLength(1)
    expect((await ask(serving.url, tokens.teams, '/v1/webhooks')).body.items).toHaveLength(0)
    expect((await ask(serving.url, tokens.teams, path, { method: 'DELETE' })).status).toBe(404)
    expect((await ask(serving.url, tokens.shop, path, { method: 'DELETE' })).status).toBe(204)
  })

  test('ends streams when their key is revoked or ends', async () => {
    const dying = await make('dying', ['*'], ['*'], { expiresAt: new Date(Date.now() + 700).toISOString() })
    const expiring = follow(serving.url, dying)
    await make('gone', ['*'])
    const revoked = follow(serving.url, tokens.gone)
    await until(async () => (await serving.countStreams()) === 2)
    expect((await expiring).text).toContain('event: ready')
    const [record] = (await store.list()).filter(({ tenant }) => tenant === 'gone')
    expect(await store.revoke(record?.id ?? '')).toBe(true)
    expect((await revoked).text).toContain('event: ready')
    expect((await ask(serving.url, tokens.gone, '/v1/events')).status).toBe(401)
  })

  test('gives browsers tickets that open one stream', async () => {
    const { status, body } = await ask(serving.url, tokens.shop, '/v1/tickets', { method: 'POST' })
    expect(status).toBe(201)
    expect(body.expiresInSeconds).toBeLessThanOrEqual(60)
    const opened = await fetch(`${serving.url}/v1/events?ticket=${body.ticket}&from=start`)
    expect(opened.status).toBe(200)
    const reader = opened.body?.pipeThrough(new TextDecoderStream()).getReader()
    let text = ''
    while (!text.includes('"subject"')) text += (await reader?.read())?.value ?? ''
    await reader?.cancel()
    expect(text).toContain('shop/a')
    expect(text).not.toContain('bank')
    expect((await follow(serving.url, undefined, `?ticket=${body.ticket}`)).status).toBe(401)
    expect((await ask(serving.url, undefined, `/v1/pods?ticket=${body.ticket}`)).status).toBe(401)
  })
})

test('refuses streams and requests beyond what one caller may have', async () => {
  const serving = await startServing({ auth: { mode: 'keys' }, limits: { streamsPerTenant: 1, rate: 2 } })
  try {
    const grants = [{ namespaces: ['*'], resources: ['*'] }]
    const of = { tenant: 't', grants, actions: ['read' as const], createdAt: '' }
    const { key } = await createApiKeyStore(serving.client, keys).create(of)
    const first = await fetch(`${serving.url}/v1/events`, { headers: bearer(key) })
    const second = await ask(serving.url, key, '/v1/events', { headers: { accept: 'text/event-stream' } })
    expect(second.status).toBe(429)
    await first.body?.cancel()
    const many = await Promise.all(Array.from({ length: 20 }, () => ask(serving.url, key, '/v1/events')))
    expect(many.filter(({ status }) => status === 429).length).toBeGreaterThan(5)
  } finally {
    await serving.stop()
  }
})

describe('with tokens of an issuer', () => {
  let issuer: Server
  let origin: string
  let serving: Serving
  let published: object[] = []
  const sign = async (pair: GenerateKeyPairResult, kid: string, claims: object, seconds = 60) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'ES256', kid })
      .setIssuer(origin)
      .setSubject('ann')
      .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
      .sign(pair.privateKey)
  const make = async (kid: string) => {
    const pair = await generateKeyPair('ES256', { extractable: true })
    return { pair, kid, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg: 'ES256' } }
  }

  beforeAll(async () => {
    issuer = createServer((request, response) => {
      const isKeys = request.url === '/keys'
      response.end(JSON.stringify(isKeys ? { keys: published } : { issuer: origin, jwks_uri: `${origin}/keys` }))
    })
    await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}`
    serving = await startServing({ auth: { mode: 'jwt', issuer: origin } })
    await (await serving.createWriter('pods')).append(
      { namespace: 'shop', name: 'a' },
      { namespace: 'bank', name: 'c' },
    )
  })
  afterAll(async () => {
    await serving.stop()
    issuer.close()
  })
  const all = { namespaces: '*', resources: ['*'] }

  test('takes what the issuer signed, for what the claims say, until it ends', async () => {
    const { pair, kid, jwk } = await make('one')
    published = [jwk]
    const see = async (token: string) => ask(serving.url, token, '/v1/events')
    expect((await see(await sign(pair, kid, all))).body.events).toHaveLength(2)
    const some = await see(await sign(pair, kid, { namespaces: ['shop'], resources: 'pods' }))
    expect(some.body.events.map((event: { subject: string }) => event.subject)).toEqual(['shop/a'])
    expect((await see(await sign(pair, kid, {}))).status).toBe(403)
    expect((await see(await sign(pair, kid, { ...all, actions: 'webhooks' }))).status).toBe(403)
    expect((await see(await sign(pair, kid, all, -5))).status).toBe(401)
    const other = await make('one')
    expect((await see(await sign(other.pair, kid, all))).status).toBe(401)
    const secret = new TextEncoder().encode('x'.repeat(32))
    const symmetric = await new SignJWT(all)
      .setProtectedHeader({ alg: 'HS256', kid })
      .setIssuer(origin)
      .setSubject('x')
      .sign(secret)
    expect((await see(symmetric)).status).toBe(401)
    const begin = performance.now()
    const { text } = await follow(serving.url, await sign(pair, kid, all, 2))
    expect(text).toContain('event: ready')
    expect(performance.now() - begin).toBeLessThan(3_500)
  })

  test('takes a login for as long as the token holds', async () => {
    const { pair, kid, jwk } = await make('login')
    published = [jwk]
    const token = await sign(pair, kid, { namespaces: ['shop'], resources: 'pods' }, 30)
    let login = new Response()
    await until(async () => {
      login = await fetch(`${serving.url}/v1/login`, { method: 'POST', headers: bearer(token) })
      return login.status === 201
    })
    const [cookie = ''] = login.headers.get('set-cookie')?.split(';') ?? []
    expect(Number(/Max-Age=(\d+)/.exec(login.headers.get('set-cookie') ?? '')?.[1])).toBeLessThanOrEqual(30)
    const { body } = await ask(serving.url, undefined, '/v1/events', { headers: { cookie } })
    expect(body.events.map((event: { subject: string }) => event.subject)).toEqual(['shop/a'])
  })

  test('notices that the issuer changed its keys', async () => {
    const { pair, kid, jwk } = await make('two')
    published = [jwk]
    const token = await sign(pair, kid, all)
    await until(async () => (await ask(serving.url, token, '/v1/events')).status === 200)
  })
})
