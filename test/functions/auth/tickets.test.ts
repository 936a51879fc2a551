import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ClusterUser } from '../../../functions/auth/kubernetes.ts'
import { createTickets } from '../../../functions/auth/tickets.ts'
import { type ApiKeyStore, createApiKeyStore } from '../../../shared/api-key.ts'
import { keys, type Serving, startServing, until } from '../serving.ts'

let serving: Serving
let store: ApiKeyStore
const everything = [{ namespaces: ['*'], resources: ['*'] }]

beforeAll(async () => {
  serving = await startServing({ auth: { mode: 'keys' }, limits: { review: 3_600_000 } })
  store = createApiKeyStore(serving.client, keys)
  await (await serving.createWriter('pods')).append({ namespace: 'shop', name: 'a' })
})
afterAll(() => serving.stop())

const createKey = (more: object = {}) =>
  store.create({ tenant: 'ann', grants: everything, actions: ['read', 'webhooks'], createdAt: '', ...more })

async function issue(headers: Record<string, string>): Promise<string> {
  const answer = await fetch(`${serving.url}/v1/tickets`, { method: 'POST', headers })
  return ((await answer.json()) as { ticket: string }).ticket
}

const use = (ticket: string, path = '/v1/events?from=start', init: RequestInit = {}) =>
  fetch(`${serving.url}${path}${path.includes('?') ? '&' : '?'}ticket=${ticket}`, {
    headers: { accept: 'application/json' },
    ...init,
  })

test('a ticket is taken once, by whoever comes first of many at the same time', async () => {
  const { key } = await createKey()
  for (let round = 0; round < 5; round++) {
    const ticket = await issue({ authorization: `Bearer ${key}` })
    const answers = await Promise.all(Array.from({ length: 20 }, () => use(ticket)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(401)])
  }
})

test('a ticket opens streams of events and nothing else, and is not used up by what it does not open', async () => {
  const { key } = await createKey()
  const ticket = await issue({ authorization: `Bearer ${key}` })
  for (const path of [
    '/v1/pods',
    '/v1/pods/shop/a',
    '/v1/leases',
    '/v1/holders/a',
    '/v1/webhooks',
    '/v1/login',
    '/metrics',
  ]) {
    expect((await use(ticket, path)).status, path).toBe(401)
  }
  for (const path of ['/v1/tickets', '/v1/login', '/v1/filters/check', '/v1/webhooks']) {
    expect((await use(ticket, path, { method: 'POST' })).status, path).toBe(401)
  }
  expect((await use(ticket, '/v1/events', { method: 'HEAD' })).status).toBe(401)
  expect((await use(ticket, '/v1/events/')).status).toBe(401)
  const { feeds } = (await (await use(ticket, '/readyz')).json()) as { feeds: object }
  expect(feeds).toEqual({})
  expect((await use(ticket)).status).toBe(200)
})

test('a ticket is worth no more than what it was given for: revoked, ended, or logged out, it opens nothing', async () => {
  const gone = await createKey()
  const ofGone = await issue({ authorization: `Bearer ${gone.key}` })
  await store.revoke(gone.record.id)
  expect((await use(ofGone)).status).toBe(401)

  const end = Date.now() + 700
  const short = await createKey({ expiresAt: new Date(end).toISOString() })
  const ofShort = await issue({ authorization: `Bearer ${short.key}` })
  await until(() => Date.now() > end)
  expect((await use(ofShort)).status).toBe(401)

  const { key } = await createKey()
  const login = await fetch(`${serving.url}/v1/login`, { method: 'POST', headers: { authorization: `Bearer ${key}` } })
  const own = { cookie: login.headers.get('set-cookie')?.split(';')[0] ?? '', origin: serving.url }
  const ofLogin = await issue(own)
  await fetch(`${serving.url}/v1/login`, { method: 'DELETE', headers: own })
  expect((await use(ofLogin)).status).toBe(401)
})

test('a ticket that is none is refused without a question to Redis', async () => {
  for (const ticket of ['', 'x', '../meta', 'a'.repeat(43).replace('a', ':'), '%00', '%0D%0A', 'a'.repeat(44)]) {
    expect((await use(ticket)).status, ticket).toBe(401)
  }
  expect((await use('a'.repeat(65))).status).not.toBe(200)
})

test('nobody who reads Redis can use a ticket, or reads in it whose it is', async () => {
  const tickets = createTickets(serving.client, keys)
  const user: ClusterUser = { username: 'ann-of-the-cluster' }
  const ticket = await tickets.issue({ tenant: 'ann', actions: ['read'], proof: { user, token: 'a-secret-token' } })
  const names = await serving.client.keys('*ticket*')
  const stored = JSON.stringify([names, ...(await Promise.all(names.map((name) => serving.client.get(name))))])
  for (const secret of [ticket, 'a-secret-token', 'ann-of-the-cluster']) expect(stored).not.toContain(secret)
  for (const name of names) expect(await serving.client.ttl(name)).toBeLessThanOrEqual(60)
  expect(await tickets.redeem(ticket)).toMatchObject({ tenant: 'ann', proof: { token: 'a-secret-token' } })
  expect(await tickets.redeem(ticket)).toBeUndefined()
})
