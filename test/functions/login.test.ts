import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hourlyLogins } from '../../functions/auth/logins.ts'
import { type ApiKeyStore, createApiKeyStore } from '../../shared/api-key.ts'
import { browserPath, startBrowser, withBrowser } from '../support/browser.ts'
import { keys, type Serving, startServing, until } from './serving.ts'

let serving: Serving
let store: ApiKeyStore
const everything = [{ namespaces: ['*'], resources: ['*'] }]

beforeAll(async () => {
  // No stream ends because it was reviewed by and by.
  serving = await startServing({ auth: { mode: 'keys' }, limits: { review: 3_600_000, heartbeat: 300 } })
  store = createApiKeyStore(serving.client, keys)
  const pods = await serving.createWriter('pods')
  await pods.append({ namespace: 'shop', name: 'a', phase: 'Running' }, { namespace: 'bank', name: 'c' })
})
afterAll(() => serving.stop())

async function createKey(tenant: string, more: object = {}): Promise<{ key: string; id: string }> {
  const of = { tenant, grants: everything, actions: ['read' as const, 'webhooks' as const], createdAt: '', ...more }
  const { key, record } = await store.create(of)
  return { key, id: record.id }
}

async function logIn(key: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${serving.url}/v1/login`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, ...headers },
  })
  const set = response.headers.get('set-cookie') ?? ''
  return { status: response.status, set, cookie: set.split(';')[0] ?? '', body: await response.json() }
}

function ask(path: string, headers: Record<string, string>, init: RequestInit = {}) {
  return fetch(`${serving.url}${path}`, { ...init, headers: { accept: 'application/json', ...headers } })
}

const webhook = { url: 'http://127.0.0.1:9000/', filter: { resource: ['pods'] } }
const post: RequestInit = { method: 'POST', body: JSON.stringify(webhook) }
const json = { 'content-type': 'application/json' }

describe('a login', () => {
  test('exchanges a credential for a cookie of bounded life that no script and no other site can use', async () => {
    const { key } = await createKey('ann')
    const { status, set, cookie, body } = await logIn(key)
    expect(status).toBe(201)
    expect(set).toMatch(/; HttpOnly/)
    expect(set).toMatch(/; SameSite=Strict/)
    expect(set).not.toMatch(/Secure/)
    expect(Number(/Max-Age=(\d+)/.exec(set)?.[1])).toBeLessThanOrEqual(12 * 3600)
    expect((await logIn(key, { origin: 'https://relay.example.com' })).set).toMatch(/; Secure/)
    expect(body).toMatchObject({ tenant: 'ann', actions: ['read', 'webhooks'] })
    expect((await ask('/v1/events', { cookie })).status).toBe(200)
    expect(await (await ask('/v1/login', { cookie })).json()).toEqual(body)
    expect((await ask('/v1/events', { cookie: `${cookie.slice(0, -1)}_` })).status).toBe(401)
    expect((await ask('/v1/events', { cookie, authorization: 'Bearer wrong' })).status).toBe(401)
    expect((await logIn('rk_00000000_wrong')).status).toBe(401)
    expect((await ask('/v1/login', { cookie, origin: serving.url }, { method: 'POST' })).status).toBe(401)
  })

  test('leaves nothing in Redis that opens anything', async () => {
    const { key } = await createKey('ann')
    const { cookie } = await logIn(key)
    for (const name of await serving.client.keys('*login*')) {
      const stored = name + (await serving.client.get(name))
      expect(stored).not.toContain(cookie.split('=')[1])
      expect(stored).not.toContain(key.slice(12))
      expect(await serving.client.pttl(name)).toBeGreaterThan(0)
    }
  })

  test('never outlives its credential, and its streams end within a second of it', async () => {
    const end = Date.now() + 1_500
    const { key } = await createKey('short', { expiresAt: new Date(end).toISOString() })
    const { cookie, body, set } = await logIn(key)
    expect(Date.parse((body as { expiresAt: string }).expiresAt)).toBe(end)
    expect(set).toMatch(/Max-Age=[01];/)
    const stream = await ask('/v1/events', { cookie, accept: 'text/event-stream' })
    expect(await stream.text()).toContain('event: ready')
    expect(Date.now()).toBeGreaterThanOrEqual(end)
    await until(async () => (await ask('/v1/events', { cookie })).status === 401)
  })

  test('ends with its streams when one logs out, at whatever process, and when its key is revoked', async () => {
    const { key, id } = await createKey('leaver')
    const [one, two] = [await logIn(key), await logIn(key)]
    const open = async ({ cookie }: { cookie: string }) => ask('/v1/events', { cookie, accept: 'text/event-stream' })
    const [first, second] = [await open(one), await open(two)]
    const out = { cookie: one.cookie, origin: serving.url }
    expect((await ask('/v1/login', out, { method: 'DELETE' })).status).toBe(204)
    expect(await first.text()).toContain('event: ready')
    expect((await ask('/v1/events', { cookie: one.cookie })).status).toBe(401)
    expect((await ask('/v1/events', { cookie: two.cookie })).status).toBe(200)
    await store.revoke(id)
    expect(await second.text()).toContain('event: ready')
    expect((await ask('/v1/events', { cookie: two.cookie })).status).toBe(401)
  })

  test('ends streams that were opened by its tickets, too', async () => {
    const { cookie } = await logIn((await createKey('ticketed')).key)
    const own = { cookie, origin: serving.url }
    const { ticket } = (await (await ask('/v1/tickets', own, { method: 'POST' })).json()) as { ticket: string }
    const stream = await ask(`/v1/events?ticket=${ticket}`, { accept: 'text/event-stream' })
    await ask('/v1/login', own, { method: 'DELETE' })
    expect(await stream.text()).toContain('event: ready')
  })

  test('changes something only for pages of the relay itself', async () => {
    const { cookie } = await logIn((await createKey('csrf')).key)
    const create = (headers: Record<string, string>) => ask('/v1/webhooks', { ...json, cookie, ...headers }, post)
    for (const origin of ['https://evil.example', 'null', `${serving.url}.evil.example`, 'http://127.0.0.1:1']) {
      expect((await create({ origin })).status, origin).toBe(403)
    }
    expect((await create({})).status).toBe(403)
    const made = await create({ origin: serving.url })
    expect(made.status).toBe(201)
    const { id } = (await made.json()) as { id: string }
    const path = `/v1/webhooks/${id}`
    expect((await ask(path, { cookie, origin: 'https://evil.example' }, { method: 'DELETE' })).status).toBe(403)
    expect((await ask('/v1/login', { cookie }, { method: 'DELETE' })).status).toBe(403)
    expect((await ask(path, { cookie, origin: serving.url }, { method: 'DELETE' })).status).toBe(204)
  })

  test('is not given without end', async () => {
    const { key } = await createKey('eager')
    const answers = await Promise.all(Array.from({ length: hourlyLogins + 5 }, () => logIn(key)))
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).toHaveLength(5)
    expect(refused[0]?.set).toBe('')
    expect((await logIn((await createKey('other')).key)).status).toBe(201)
  })

  test('keeps the idempotency keys of two callers apart', async () => {
    const [ann, bob] = await Promise.all(
      ['once-ann', 'once-bob'].map(async (name) => logIn((await createKey(name)).key)),
    )
    const create = async (cookie = '') => {
      const headers = { ...json, cookie, origin: serving.url, 'idempotency-key': 'the same' }
      return (await (await ask('/v1/webhooks', headers, post)).json()) as { id: string; secret: string }
    }
    const [first, again, other] = [await create(ann?.cookie), await create(ann?.cookie), await create(bob?.cookie)]
    expect(again.id).toBe(first.id)
    expect(other.id).not.toBe(first.id)
    expect(other.secret).not.toBe(first.secret)
  })
})

test.skipIf(browserPath === undefined)(`shows the page to whoever logs in ${withBrowser}`, async () => {
  const { key, id } = await createKey('viewer')
  const browser = await startBrowser()
  try {
    const page = await browser.newPage()
    const addresses: string[] = []
    const faults: string[] = []
    page.on('request', (request) => addresses.push(request.url()))
    page.on('pageerror', (error) => faults.push(String(error)))
    await page.goto(serving.url)
    const credential = page.getByLabel('API key or token')
    await credential.fill('rk_wrong')
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.getByText('The credential is not valid').waitFor()
    await credential.fill(key)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('#connection[data-state=live]').waitFor()
    await page.locator('#pods td', { hasText: 'bank' }).waitFor()
    expect(await page.locator('[data-command=stream]').textContent()).toContain('Bearer $RELAY_TOKEN')
    expect(await page.evaluate('document.cookie + JSON.stringify({ ...localStorage })')).toBe('{}')

    await page.reload()
    await page.locator('#connection[data-state=live]').waitFor()
    await page.getByRole('button', { name: 'Log out' }).click()
    await credential.waitFor()
    await until(async () => (await serving.countStreams()) === 0)
    expect(await page.locator('#pods tr').count()).toBe(0)

    await credential.fill(key)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('#connection[data-state=live]').waitFor()
    await store.revoke(id)
    await credential.waitFor()
    expect(addresses.filter((address) => address.includes('rk_'))).toEqual([])
    expect(faults).toEqual([])
  } finally {
    await browser.close()
  }
})

test.skipIf(browserPath === undefined)(
  `shows each what they may see, and anybody all where nobody is asked ${withBrowser}`,
  async () => {
    const browser = await startBrowser()
    const open = await startServing()
    try {
      const pods = await open.createWriter('pods')
      await pods.append({ namespace: 'shop', name: 'a', phase: 'Running' })
      const free = await browser.newPage()
      await free.goto(open.url)
      await free.locator('#pods td', { hasText: 'shop' }).waitFor()
      expect(await free.getByLabel('API key or token').isVisible()).toBe(false)
      expect(await free.getByRole('button', { name: 'Log out' }).isVisible()).toBe(false)
      expect(await free.locator('[data-command=leases]').textContent()).toBe(`curl '${open.url}/v1/leases'`)

      const { key } = await createKey('narrow', { grants: [{ namespaces: ['shop'], resources: ['pods'] }] })
      const page = await browser.newPage()
      await page.goto(serving.url)
      await page.getByLabel('API key or token').fill(key)
      await page.keyboard.press('Enter')
      await page.locator('#pods td', { hasText: 'shop' }).waitFor()
      expect(await page.locator('#pods td', { hasText: 'bank' }).count()).toBe(0)
      await page.getByLabel('Namespace').fill('bank')
      await page.getByText('Not allowed to see').waitFor()
    } finally {
      await browser.close()
      await open.stop()
    }
  },
)
