import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Action } from '../../shared/access.ts'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { keys, type SampleWriter, type Serving, startServing, until } from '../functions/serving.ts'
import { type Ask, canary, formOf, plans, post, telling, type World } from './plans.ts'

/** How a caller shows who they are. */
const ways = ['key', 'cookie', 'ticket'] as const

type Way = (typeof ways)[number]

let serving: Serving
let world: World
let writers: SampleWriter[]
const tokens: Record<string, string> = {}
const cookies: Record<string, string> = {}
const mayRead: Readonly<Record<string, readonly string[]>> = {
  shop: ['shop'],
  teams: ['team-x'],
  nothing: [],
  hooks: ['shop'],
}

beforeAll(async () => {
  serving = await startServing({ auth: { mode: 'keys' }, limits: { heartbeat: 100, rate: 100_000 } })
  const store = createApiKeyStore(serving.client, keys)
  const make = async (tenant: string, namespaces: string[], resources: string[], actions: Action[]) => {
    const grants = [{ namespaces, resources }]
    tokens[tenant] = (await store.create({ tenant, grants, actions, createdAt: '' })).key
  }
  await make('owner', ['*'], ['*'], ['read', 'webhooks'])
  await make('shop', ['shop'], ['*'], ['read', 'webhooks'])
  await make('teams', ['team-*'], ['pods'], ['read', 'webhooks'])
  await make('nothing', ['none'], ['leases'], ['read', 'webhooks'])
  await make('hooks', ['shop'], ['*'], ['webhooks'])
  writers = [await serving.createWriter('pods'), await serving.createWriter('leases')]
  await write()
  const owner = async (ask: Ask | string) => JSON.parse((await fetchText('owner', ask)).text)
  const page = await owner('/v1/events?from=start')
  const { id: webhook } = await owner(
    post('/v1/webhooks', { url: 'http://127.0.0.1:9000/', description: canary, filter: { namespace: 'bank' } }),
  )
  const { id: delivery } = await owner(post(`/v1/webhooks/${webhook}/test`))
  const { id: task } = await owner(post(`/v1/webhooks/${webhook}/replay`, { from: 'start' }))
  const found = page.events.find(({ data }: { data: { namespace: string } }) => data.namespace === 'bank')
  for (const tenant of Object.keys(tokens)) cookies[tenant] = await logIn(tenant)
  world = { cursors: [found.cursor, page.next], event: found.id, webhook, delivery, task }
})
afterAll(() => serving.stop())

/** Something of everything: the Lease of the shop is held by a Pod of the bank. */
async function write(): Promise<void> {
  const [pods, leases] = writers
  const from = new Date().toISOString()
  const term = { holder: 'bank-one', from, began: 'acquired', renewals: 1, transitions: 1 }
  const secret = { labels: { secret: canary }, node: `node-${canary}` }
  await pods?.append(
    { namespace: 'shop', name: 'web', phase: 'Running' },
    { namespace: 'team-x', name: 'job', phase: 'Running' },
    { namespace: 'bank', name: 'vault', phase: 'Running', ...secret },
  )
  const stranger = 'vault_6f1a1b9e-0000-4000-8000-000000000000'
  await leases?.append(
    { namespace: 'shop', name: 'leader', holder: stranger, term: { ...term, holder: stranger } },
    { namespace: 'bank', name: 'leader', holder: 'bank-one', ...secret, term },
  )
  const keep = { count: 10, ms: 3_600_000 }
  const end = (key: string, holder: string) => {
    const [namespace, name] = key.split('/')
    const ended = { ...term, namespace, name, holder, to: from, ended: 'released' }
    return { op: 'term' as const, key, holder, term: JSON.stringify(ended), keep }
  }
  await leases?.operate([end('bank/leader', `was-${canary}`), end(`bank/${canary}`, 'bank-one')])
}

async function fetchText(
  tenant: string,
  ask: Ask | string,
  way: Way = 'key',
): Promise<{ status: number; text: string }> {
  const asked: Ask = typeof ask === 'string' ? { path: ask } : ask
  const { init, streams } = asked
  const shown = await show(tenant, asked, way)
  if (streams === 'socket') return readSocket(asked, shown)
  const headers = { accept: 'application/json', ...init?.headers, ...shown.headers }
  const abort = new AbortController()
  const response = await fetch(`${serving.url}${shown.path}`, { ...init, headers, signal: abort.signal })
  const head = JSON.stringify([...response.headers])
  if (streams === undefined || !response.ok)
    return { status: response.status, text: await response.text().then((body) => (response.ok ? body : body + head)) }
  let text = ''
  for await (const piece of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += piece
    // Two heartbeats in a row: what there was has come, and what was written meanwhile.
    if (text.split('heartbeat').length > 2) break
  }
  abort.abort()
  return { status: response.status, text }
}

async function show(tenant: string, { path, init }: Ask, way: Way) {
  const headers = { authorization: `Bearer ${tokens[tenant]}` }
  if (way === 'key') return { path, headers }
  if (way === 'cookie') {
    const isLast = init?.method === 'DELETE' && path === '/v1/login'
    const cookie = isLast ? await logIn(tenant) : cookies[tenant]
    return { path, headers: { cookie: cookie ?? '', origin: serving.url } }
  }
  return { path: await addTicket(tenant, path), headers: {} }
}

async function logIn(tenant: string): Promise<string> {
  const headers = { authorization: `Bearer ${tokens[tenant]}` }
  const answer = await fetch(`${serving.url}/v1/login`, { method: 'POST', headers })
  return answer.headers.get('set-cookie')?.split(';')[0] ?? ''
}

async function addTicket(tenant: string, path: string): Promise<string> {
  const { text } = await fetchText(tenant, post('/v1/tickets'))
  const { ticket = 'none' } = JSON.parse(text.slice(0, text.indexOf('}') + 1)) as { ticket?: string }
  return `${path}${path.includes('?') ? '&' : '?'}ticket=${ticket}`
}

async function readSocket(
  { messages = [] }: Ask,
  { path, headers }: { path: string; headers: Record<string, string> },
): Promise<{ status: number; text: string }> {
  // Beyond what browsers can do: the sockets of Node send headers.
  const options = { headers } as unknown as string[]
  const socket = new WebSocket(`${serving.url.replace('http', 'ws')}${path}`, options)
  let text = ''
  let heard = 0
  const rest = [...messages]
  const done = new Promise<number>((resolve) => {
    socket.addEventListener('error', () => resolve(403))
    socket.addEventListener('message', ({ data }) => {
      text += data
      heard += String(data).split('"heartbeat"').length - 1
      if (heard < 2) return
      if (rest.length === 0) return resolve(200)
      socket.send(JSON.stringify(rest.shift()))
      heard = 0
    })
  })
  const status = await done
  socket.close()
  return { status, text }
}

/** What the answer says beyond what was asked. */
function withoutEcho(text: string, ask: Ask | string): string {
  const { path, init }: Ask = typeof ask === 'string' ? { path: ask } : ask
  return path.includes(canary) || String(init?.body).includes(canary) ? '' : text
}

/** The canary and what stands around it; empty where it is not. */
function findLeak(text: string): string {
  const at = text.indexOf(canary)
  return at === -1 ? '' : text.slice(Math.max(0, at - 200), at + 50)
}

test('every route has its place in the matrix', async () => {
  type Described = { paths: Record<string, Record<string, { security?: object[] }>>; security: object[] }
  const { paths, security } = (await (await fetch(`${serving.url}/openapi.json`)).json()) as Described
  expect(security).toHaveLength(2)
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, route]) => {
      const name = `${method.toUpperCase()} ${path}`
      expect(route.security?.length === 0, `${name} takes no credential`).toBe(plans[name] === 'public')
      return name
    }),
  )
  expect(routes.sort()).toEqual(Object.keys(plans).sort())
})

test.each(ways)('nobody sees by any route, form or cursor what is not theirs, who comes by a %s', async (way) => {
  let asked = 0
  let answered = 0
  let isOver = false
  // Streams are live: what is written while they are open is told to them, if at all.
  const writing = (async () => {
    while (!isOver) {
      await write()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  })()
  const check = async (tenant: string, ask: Ask | string) => {
    const { status, text } = await fetchText(tenant, ask, way)
    const label = `${tenant} ${JSON.stringify(ask)} ${status}`
    asked++
    if (status < 300) answered++
    const isReading = !/^\/v1\/(webhooks|login)/.test(typeof ask === 'string' ? ask : ask.path)
    if (tenant === 'hooks' && isReading) expect([401, 403, 404], label).toContain(status)
    expect(status, label).toBeLessThan(500)
    expect(findLeak(withoutEcho(text, ask)), label).toBe('')
    const seen = [...text.matchAll(/"namespace":"([^"]*)"/g)].map(([, namespace]) => namespace)
    for (const namespace of seen) expect(mayRead[tenant], label).toContain(namespace)
  }
  try {
    for (const [route, plan] of Object.entries(plans)) {
      if (plan === 'public') continue
      const asks = plan(world)
      for (let i = 0; i < asks.length; i += 20) {
        const some = asks.slice(i, i + 20)
        await Promise.all(Object.keys(mayRead).flatMap((tenant) => some.map((ask) => check(tenant, ask))))
      }
      const isTelling = way === 'ticket' ? route.startsWith('GET /v1/events') : telling.includes(route)
      for (const [form, alike] of isTelling ? Map.groupBy(asks, formOf) : []) {
        const told = await Promise.all(alike.slice(0, 40).map((ask) => fetchText('owner', ask, way)))
        const isTold = told.some(({ text }) => text.includes(canary))
        expect(isTold, `${route} as ${form} tells its owner`).toBe(true)
      }
    }
  } finally {
    isOver = true
    await writing
  }
  expect(asked).toBeGreaterThan(700)
  expect(answered).toBeGreaterThan(100)
})

test('what is not yours is answered as what is not there', async () => {
  const nameless = ({ status, text }: { status: number; text: string }, id: string) => {
    const { date: _, ...rest } = { date: '', status, body: JSON.parse(text.slice(0, text.indexOf('}') + 1)) }
    return JSON.stringify(rest).replaceAll(id, '…')
  }
  const pairs = [
    ['/v1/pods/bank/vault', 'vault', '/v1/pods/bank/other', 'other'],
    ['/v1/leases/bank/leader', 'leader', '/v1/leases/bank/other', 'other'],
    ['/v1/leases/bank/leader/holders', 'leader', '/v1/leases/bank/other/holders', 'other'],
    ...['', '/deliveries', '/keys', '/tasks', '/verify', `/deliveries/${world.delivery}`, `/tasks/${world.task}`].map(
      (path) => [`/v1/webhooks/${world.webhook}${path}`, world.webhook, `/v1/webhooks/wh_nothing${path}`, 'wh_nothing'],
    ),
  ]
  for (const [path = '', id = '', other = '', otherId = ''] of pairs) {
    const [theirs, none] = [await fetchText('shop', path), await fetchText('shop', other)]
    expect(theirs.status, path).toBe(404)
    expect(nameless(theirs, id), path).toBe(nameless(none, otherId))
  }
  const found = JSON.parse((await fetchText('owner', `/v1/webhooks/${world.webhook}`)).text)
  expect(found).toMatchObject({ enabled: true, description: canary })
})

test('knowing what another tenant was answered is of no use', async () => {
  const ask = async (tenant: string, path: string, more: Record<string, string> = {}) => {
    const headers = { authorization: `Bearer ${tokens[tenant]}`, ...more }
    const response = await fetch(`${serving.url}${path}`, { headers })
    await response.body?.cancel()
    return response
  }
  for (const path of [
    '/v1/pods',
    '/v1/pods?namespace=bank',
    '/v1/pods/bank/vault',
    '/v1/leases/bank/leader',
    '/v1/holders/bank-one',
  ]) {
    const theirs = await ask('owner', path)
    const etag = theirs.headers.get('etag') ?? ''
    expect(etag, path).toMatch(/^W\/"/)
    expect(theirs.headers.get('cache-control')).toBe('private, no-cache')
    expect(theirs.headers.get('vary')).toContain('authorization, cookie')
    for (const known of [etag, '*']) {
      expect([403, 404], path).toContain((await ask('shop', path, { 'if-none-match': known })).status)
      expect((await fetch(`${serving.url}${path}`, { headers: { 'if-none-match': known } })).status).toBe(401)
    }
  }
  for (const path of ['/v1/events', '/v1/webhooks', `/v1/webhooks/${world.webhook}`, '/v1/login', '/metrics']) {
    const { headers } = await ask('owner', path, { accept: 'application/json' })
    expect(headers.get('cache-control'), path).toBe('no-store')
  }
})

test('a look at history counts what one may see, not how much there is', async () => {
  await until(async () => {
    const { text } = await fetchText('shop', post('/v1/filters/check', { filter: { resource: 'pods' } }))
    const { history } = JSON.parse(text)
    return history.looked === history.matched && history.looked > 0
  })
})
