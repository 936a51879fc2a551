import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Authenticator } from '../../functions/auth/authenticator.ts'
import { createJwtAuthenticator } from '../../functions/auth/jwt.ts'
import { createKubernetesAuthenticator } from '../../functions/auth/kubernetes.ts'
import { createKubeReviewer } from '../../infra/node/kube-reviewer.ts'
import { parseResources } from '../../shared/resource.ts'

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void

/** A server whose answers a test changes. */
async function serve(): Promise<{ url: string; server: Server; answer: (answer: Answer) => void }> {
  let current: Answer = (_, response) => response.end('{}')
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (piece) => {
      body += piece
    })
    request.on('end', () => current(request, response, body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, server, answer: (next) => (current = next) }
}

const refusal = { code: 'unauthorized', message: 'The credential is not valid, or no longer.' }
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('a token of an issuer', () => {
  let issuer: Awaited<ReturnType<typeof serve>>
  let pair: Awaited<ReturnType<typeof generateKeyPair>>
  let keys: object[]
  let authenticator: Authenticator
  const all = { namespaces: '*', resources: '*' }
  const now = new Date('2026-11-21T12:00:00Z')
  const at = (seconds: number) => Math.floor(now.getTime() / 1000) + seconds

  beforeAll(async () => {
    issuer = await serve()
    pair = await generateKeyPair('RS256', { extractable: true })
    keys = [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }]
    issuer.answer((_, response) => response.end(JSON.stringify({ keys })))
    const options = { issuer: 'https://issuer.example', audience: 'relay', jwks: `${issuer.url}/keys` }
    authenticator = createJwtAuthenticator(options, () => now)
  })
  afterAll(() => {
    issuer.server.close()
  })

  const claims = { iss: 'https://issuer.example', aud: 'relay', sub: 'ann', exp: at(60), ...all }
  const sign = (payload: object, header: object = {}, key: CryptoKey | Uint8Array = pair.privateKey) =>
    new SignJWT({ ...payload }).setProtectedHeader({ alg: 'RS256', kid: 'one', ...header }).sign(key)

  test('is taken when all of it is right', async () => {
    expect(await authenticator.identify(await sign(claims))).toMatchObject({ tenant: 'ann', expiresAt: at(60) * 1000 })
    expect(await authenticator.identify(await sign({ ...claims, nbf: at(0) }))).toMatchObject({ tenant: 'ann' })
  })

  test('is taken from an issuer whose clock is a little ahead, and never after its own end', async () => {
    expect(await authenticator.identify(await sign({ ...claims, nbf: at(29), iat: at(29) }))).toMatchObject({
      tenant: 'ann',
    })
    await expect(authenticator.identify(await sign({ ...claims, exp: at(-1) }))).rejects.toMatchObject(refusal)
  })

  test.each<[string, object]>([
    ['expired', { exp: at(0) }],
    ['without an end', { exp: undefined }],
    ['not valid yet', { nbf: at(31) }],
    ['for another audience', { aud: ['other', 'another'] }],
    ['without an audience', { aud: undefined }],
    ['of another issuer', { iss: 'https://issuer.example/' }],
    ['of nobody', { sub: undefined }],
    ['of a nameless one', { sub: '' }],
    ['of a number', { sub: 7 }],
    ['of a list', { sub: ['ann'] }],
    ['that ends on a word', { exp: 'never' }],
  ])('is refused when it is %s', async (_, wrong) => {
    await expect(authenticator.identify(await sign({ ...claims, ...wrong }))).rejects.toMatchObject(refusal)
  })

  test('is refused when its signature is none, of a shared secret, of another key, or cut', async () => {
    const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
    const jwk = { ...(await exportJWK(publicKey)), alg: 'RS256' }
    const good = await sign(claims)
    const [header = '', payload = '', signature = ''] = good.split('.')
    const none = (alg: string) => `${encode({ alg, kid: 'one' })}.${encode(claims)}.`
    const confused = await sign(claims, { alg: 'HS256' }, new TextEncoder().encode(await exportSPKI(pair.publicKey)))
    const hostile = [
      none('none'),
      none('None'),
      `${none('none')}${signature}`,
      confused,
      await sign(claims, {}, privateKey),
      await sign(claims, { jwk }, privateKey),
      await sign(claims, { jku: 'http://127.0.0.1:1/keys', kid: 'other' }, privateKey),
      await sign(claims, { x5u: 'http://127.0.0.1:1/cert' }, privateKey),
      `${encode({ alg: 'RS256', kid: 'one', crit: ['exp'] })}.${payload}.${signature}`,
      `${header}.${encode({ ...claims, sub: 'root' })}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -2)}`,
      `${header}.${payload}`,
      `${header}.${payload}.${signature}.${signature}.${signature}`,
      '..',
      'a.b.c',
      'x'.repeat(8192),
      `${encode({ alg: 'RS256', kid: 'x'.repeat(5000) })}.${payload}.${signature}`,
    ]
    for (const token of hostile) {
      await expect(authenticator.identify(token), token.slice(0, 80)).rejects.toMatchObject(refusal)
    }
    await expect(authenticator.identify(undefined)).rejects.toMatchObject(refusal)
  })

  test('whose claims make no sense says which, and gives nothing', async () => {
    for (const wrong of [
      { namespaces: 5 },
      { namespaces: ['Bad Name'] },
      { resources: [] },
      { actions: { read: true } },
    ]) {
      const attempt = authenticator.identify(await sign({ ...claims, ...wrong }))
      await expect(attempt).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining('claims') })
    }
    const { grants, actions } = await authenticator.identify(await sign({ ...claims, namespaces: undefined }))
    expect([grants, actions]).toEqual([[], ['read']])
    const other = await authenticator.identify(await sign({ ...claims, actions: 'read admin' }))
    expect(other.actions).toEqual(['read'])
  })

  test.each<[string, Answer]>([
    ['an error', (_, response) => response.writeHead(500).end()],
    ['no JSON', (_, response) => response.end('<html>')],
    ['no keys', (_, response) => response.end('{"keys":5}')],
    ['a redirect', (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['nothing', (request) => request.socket.destroy()],
  ])('cannot be judged while the issuer answers with %s: that is not its fault', async (_, answer) => {
    issuer.answer(answer)
    const options = { issuer: 'https://issuer.example', jwks: `${issuer.url}/keys` }
    let time = now.getTime()
    const fresh = createJwtAuthenticator(options, () => new Date(time))
    const attempt = sign(claims).then((token) => fresh.identify(token))
    await expect(attempt).rejects.toMatchObject({ code: 'unavailable', details: { retryAfter: 5 } })
    issuer.answer((__, response) => response.end(JSON.stringify({ keys })))
    time += 3_000
    expect(await fresh.identify(await sign(claims))).toMatchObject({ tenant: 'ann' })
  })
})

describe('a token of the cluster', () => {
  let cluster: Awaited<ReturnType<typeof serve>>
  let asked: string[]
  let lines: string[]
  beforeAll(async () => {
    cluster = await serve()
  })
  afterAll(() => {
    cluster.server.closeAllConnections()
    cluster.server.close()
  })
  afterEach(() => {
    cluster.server.closeAllConnections()
  })

  const log = {
    warn: (fields: object, message: string) => void lines.push(`${JSON.stringify(fields)} ${message}`),
    info: (_: object, message: string) => void lines.push(message),
  }
  const create = (now = () => new Date()) => {
    asked = []
    lines = []
    const config = new KubeConfig()
    config.loadFromClusterAndUser({ name: 'c', server: cluster.url, skipTLSVerify: true }, { name: 'relay' })
    return createKubernetesAuthenticator(createKubeReviewer(config), parseResources('pods'), now, log)
  }
  const json = (response: ServerResponse, body: object, status = 201) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  /** Knows everybody and allows everything, but for what a test says. */
  const allow: Answer = (request, response, body) => {
    const { kind, spec } = JSON.parse(body)
    asked.push(kind)
    json(response, {
      apiVersion: request.url?.split('/').slice(2, 4).join('/'),
      kind,
      status:
        kind === 'TokenReview' ? { authenticated: true, user: { username: `${spec.token}-user` } } : { allowed: true },
    })
  }

  test.each<[string, Answer, string]>([
    [
      'refuses the relay itself',
      (_, response) => json(response, { kind: 'Status', code: 403, message: 'forbidden: secret' }, 403),
      'system:auth-delegator',
    ],
    ['fails', (_, response) => json(response, { kind: 'Status', code: 500 }, 500), 'HTTP 500'],
    ['breaks off', (request) => request.socket.destroy(), 'cannot be asked'],
  ])('cannot be judged while the cluster %s: callers come back, and the log says why, once', async (_, answer, why) => {
    const authenticator = create()
    cluster.answer(answer)
    for (const token of ['one', 'two']) {
      await expect(authenticator.identify(token)).rejects.toMatchObject({
        code: 'unavailable',
        message: 'The cluster cannot be asked at the moment.',
      })
    }
    expect(lines).toEqual([expect.stringContaining(why)])
    expect(lines[0]).not.toContain('secret')
    cluster.answer(allow)
    expect(await authenticator.identify('one')).toMatchObject({ tenant: 'one-user' })
    expect(lines[1]).toBe('the cluster answers again who callers are')
  })

  test('keeps nobody waiting for a cluster that says nothing, nor takes up more tokens than it can ask for', async () => {
    const authenticator = create()
    let waiting = 0
    cluster.answer(() => {
      waiting++
    })
    const attempts = Array.from({ length: 100 }, (_, i) =>
      authenticator.identify(`token-${i}`).catch((error: Error) => error.message),
    )
    const messages = await Promise.all(attempts)
    expect(messages.filter((message) => String(message).startsWith('Too many'))).toHaveLength(36)
    expect(messages.filter((message) => String(message).startsWith('The cluster'))).toHaveLength(64)
    expect(waiting).toBeLessThanOrEqual(64)
    cluster.answer(allow)
    expect(await authenticator.identify('token-1')).toMatchObject({ tenant: 'token-1-user' })
  })

  test('is asked about for many namespaces a few at a time', async () => {
    const authenticator = create()
    let open = 0
    let most = 0
    cluster.answer((request, response, body) => {
      if (JSON.parse(body).kind === 'TokenReview') return allow(request, response, body)
      most = Math.max(most, ++open)
      setTimeout(() => {
        open--
        const { spec } = JSON.parse(body)
        const isWhole = spec.resourceAttributes.namespace === undefined
        json(response, { kind: 'SubjectAccessReview', status: { allowed: !isWhole } })
      }, 5)
    })
    const namespace = Array.from({ length: 100 }, (_, i) => `team-${i}`)
    const grants = await authenticator.grant(await authenticator.identify('ann'), { resource: ['pods'], namespace })
    expect(grants).toHaveLength(100)
    expect(most).toBeLessThanOrEqual(64)
  })

  test('that is nobody’s is refused, whatever shape it has, and remembered only for a moment', async () => {
    let time = 0
    const authenticator = create(() => new Date(time))
    cluster.answer((_, response, body) => {
      asked.push(JSON.parse(body).spec.token)
      json(response, {
        kind: 'TokenReview',
        status: { authenticated: false, error: 'no such token', user: { username: 'root' } },
      })
    })
    const tokens = ['x', 'a.b.c', 'x'.repeat(8192), `a.${encode({ exp: 1e300 })}.c`]
    for (const token of tokens) await expect(authenticator.identify(token)).rejects.toMatchObject(refusal)
    for (const token of tokens) await expect(authenticator.identify(token)).rejects.toMatchObject(refusal)
    expect(asked).toHaveLength(tokens.length)
    cluster.answer(allow)
    time += 4_000
    expect(await authenticator.identify('x')).toMatchObject({ tenant: 'x-user' })
  })
})
