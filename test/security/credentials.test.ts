import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSandbox } from '../../infra/sandbox/sandbox.ts'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { keys, until } from '../functions/serving.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { type RelayProcess, startRelay } from '../workers/relay-process.ts'

/** Something that knows callers, and one of them. */
interface Knower {
  readonly env: Record<string, string>
  readonly credential: string
  /** Ends what is asked about callers. */
  stop(): Promise<void>
}

const secretKey = 'k'.repeat(43)
let redis: TestRedis
let folder: string
let relay: RelayProcess | undefined
let knower: Knower | undefined

beforeEach(async () => {
  redis = await startTestRedis()
  folder = await mkdtemp(join(tmpdir(), 'relay-credentials-'))
})
afterEach(async () => {
  relay?.child.kill('SIGKILL')
  await relay?.exited
  await knower?.stop().catch(() => undefined)
  await redis.stop()
  await rm(folder, { recursive: true, force: true })
})

async function knowKeys(): Promise<Knower> {
  const client = new Redis(redis.url)
  const grants = [{ namespaces: ['*'], resources: ['*'] }]
  const of = { tenant: 'ann', grants, actions: ['read' as const, 'webhooks' as const], createdAt: '' }
  const { key } = await createApiKeyStore(client, keys).create(of)
  client.disconnect()
  return { env: { RELAY_AUTH: 'keys' }, credential: key, stop: async () => undefined }
}

async function knowTokens(): Promise<Knower> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }
  const server = createServer((_, response) => response.end(JSON.stringify({ keys: [jwk] })))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const credential = await new SignJWT({ namespaces: '*', resources: '*', actions: 'read webhooks' })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' })
    .setIssuer(origin)
    .setSubject('ann')
    .setExpirationTime('1h')
    .sign(privateKey)
  const stop = async () => {
    server.closeAllConnections()
    server.close()
  }
  const env = { RELAY_AUTH: 'jwt', RELAY_JWT_ISSUER: origin, RELAY_JWT_JWKS: `${origin}/keys` }
  return { env, credential, stop }
}

async function knowCluster(): Promise<Knower> {
  const credential = 'a-token-of-the-cluster-7f3a'
  const tokens = { [credential]: { username: 'ann', groups: ['system:masters'] } }
  const sandbox = await createSandbox({ tokens, world: false })
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server: sandbox.url } }],
    users: [{ name: 'relay', user: {} }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'relay' } }],
  }
  await writeFile(join(folder, 'kubeconfig'), JSON.stringify(config))
  // What a name means that only the server knows is not known here yet.
  const env = {
    RELAY_AUTH: 'kubernetes',
    KUBECONFIG: join(folder, 'kubeconfig'),
    RELAY_RESOURCES: 'pods leases widgets',
  }
  return { env, credential, stop: () => sandbox.stop() }
}

test.each([
  ['keys', knowKeys],
  ['jwt', knowTokens],
  ['kubernetes', knowCluster],
] as const)('no log line and no answer holds a credential with auth %s, whatever fails', async (_, know) => {
  const known = await know()
  knower = known
  const { env, credential } = known
  const fixed = { REDIS_URL: redis.url, RELAY_CLUSTER: 'test', WEBHOOK_SECRET_KEY: secretKey }
  relay = startRelay(['serve', '--port', '0', '--log-level', 'trace', '--data', folder], { ...fixed, ...env })
  const started = relay
  await until(() => started.log().some(({ url }) => typeof url === 'string'), 60_000)
  const base = String(started.log().find(({ url }) => typeof url === 'string')?.url)
  // One that differs from the good one in its end alone.
  const wrong = `${credential.slice(0, -6)}AAAAAA`
  const secrets = [credential.slice(-40), wrong.slice(-40), secretKey, new URL(redis.url).password]
  const answers: string[] = []
  const ask = async (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) => {
    const response = await fetch(`${base}${path}`, { ...init, headers: { accept: 'application/json', ...headers } })
    const text = await response.text()
    answers.push(text)
    return { status: response.status, text, cookie: response.headers.get('set-cookie')?.split(';')[0] ?? '' }
  }
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const post = (body: object) => ({ method: 'POST', body: JSON.stringify(body) })
  const json = { 'content-type': 'application/json' }

  const askEverything = async () => {
    await Promise.all(
      [credential, wrong].flatMap((token) => [
        ...['/v1/events', '/v1/pods', '/v1/holders/x', '/v1/webhooks', '/metrics', '/readyz', '/v1/login'].map((path) =>
          ask(path, bearer(token)),
        ),
        ask(`/v1/events?ticket=${token.slice(0, 64)}`),
        ask('/v1/pods', { authorization: `Basic ${token}` }),
        ask('/v1/pods', { authorization: `Bearer ${token.repeat(9).padEnd(9_000, 'x')}` }),
        ask('/v1/pods', { cookie: `relay-login=${token}` }),
        ask('/v1/webhooks', { ...bearer(token), ...json }, post({ url: 'http://127.0.0.1/', filter: {} })),
        ask('/v1/webhooks', { ...bearer(token), ...json }, { method: 'POST', body: '{' }),
      ]),
    )
  }
  const login = await ask('/v1/login', bearer(credential), { method: 'POST' })
  expect(login.status).toBe(201)
  const { cookie } = login
  const own = { cookie, origin: base }
  const { ticket } = JSON.parse((await ask('/v1/tickets', own, { method: 'POST' })).text) as { ticket: string }
  // The one answer that may.
  answers.pop()
  secrets.push(cookie.slice(-40), ticket)
  expect((await ask(`/v1/events?ticket=${ticket}`)).status).toBe(200)
  expect((await ask('/v1/events', { cookie })).status).toBe(200)
  await askEverything()
  await known.stop()
  await askEverything()
  await redis.kill()
  await askEverything()
  expect((await ask('/v1/events', { cookie })).status).toBe(503)
  expect((await ask(`/v1/events?ticket=${ticket}`)).status).toBe(503)
  started.child.kill('SIGTERM')
  await started.exited

  expect(started.log().some(({ level }) => level === 'debug')).toBe(true)
  for (const secret of secrets) {
    expect(started.stderr() + started.stdout()).not.toContain(secret)
    expect(answers.join('\n')).not.toContain(secret)
  }
})
