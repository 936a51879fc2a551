import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Action } from '../../shared/access.ts'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { keys, type SampleWriter, type Serving, startServing, until } from '../functions/serving.ts'

/** Part of everything in the namespace `bank`, and of no request but those that say so. */
const canary = 'leak7f3a'

/** What may be asked for: found out by the owner of everything. */
interface World {
  cursors: string[]
  event: string
  webhook: string
  delivery: string
  task: string
}

interface Ask {
  path: string
  init?: RequestInit
  /** Opens a stream, which is read for a while. */
  streams?: 'http' | 'socket'
}

type Plan =
  /** Answers everybody the same; says nothing of the cluster's objects. */
  'public' | ((world: World) => (Ask | string)[])

const json = { 'content-type': 'application/json' }
const post = (path: string, body: object = {}): Ask => ({
  path,
  init: { method: 'POST', headers: json, body: JSON.stringify(body) },
})
const send = (method: string, path: string, body?: object): Ask => ({
  path,
  init: { method, ...(body === undefined ? {} : { headers: json, body: JSON.stringify(body) }) },
})
const filters = [
  '',
  'namespace=bank',
  'namespace=shop,bank',
  'namespace=*',
  'namespace=b*',
  'namespace=!shop',
  'resource=pods',
  'resource=leases&namespace=bank',
  'labelSelector=secret',
  'fieldSelector=metadata.namespace=bank',
  'where=data.namespace=="bank"',
  'holder=bank-*',
  'name=vault',
].map((query) => encodeURI(query))
const pages = ['application/json', 'application/cloudevents-batch+json']
const streams = ['text/event-stream', 'application/x-ndjson']
const hook = (path = '') => [({ webhook }: World) => `/v1/webhooks/${webhook}${path}`]
const onHook =
  (method: string, path = '', body?: object): Plan =>
  (world) =>
    hook(path).map((at) =>
      send(method, at(world).replace('{delivery}', world.delivery).replace('{task}', world.task), body),
    )
const collections = (name: string) =>
  filters.filter((query) => !query.includes('=data')).map((query) => `/v1/${name}?${query}`)

/** Each route of the description: a new one has to be put in its place here. */
const plans: Readonly<Record<string, Plan>> = {
  'GET /': 'public',
  'GET /page/{file}': 'public',
  'GET /openapi.json': 'public',
  'GET /healthz': 'public',
  'GET /readyz': 'public',
  'GET /metrics': () => ['/metrics'],
  'GET /v1/login': () => ['/v1/login'],
  'POST /v1/login': () => [post('/v1/login')],
  'DELETE /v1/login': () => [send('DELETE', '/v1/login')],
  'POST /v1/tickets': () => [post('/v1/tickets')],
  'GET /v1/events': ({ cursors }) => [
    ...pages.flatMap((accept) =>
      [...cursors, 'start', '2026-01-01T00:00:00Z'].flatMap((from) => [
        ...filters.map((query) => ({ path: `/v1/events?from=${from}&${query}`, init: { headers: { accept } } })),
        { path: '/v1/events', init: { headers: { accept, 'last-event-id': from } } },
      ]),
    ),
    // A long poll ends with the next event that is told.
    { path: `/v1/events?from=${cursors.at(-1)}&wait=1` },
    ...streams.flatMap((accept) =>
      [cursors[0], 'start', 'now', 'state'].flatMap((from) =>
        filters.slice(0, 2).map((query) => ({
          path: `/v1/events?from=${from}&${query}`,
          init: { headers: { accept } },
          streams: 'http' as const,
        })),
      ),
    ),
  ],
  'GET /v1/events/ws': ({ cursors }) =>
    [cursors[0], 'state'].flatMap((from) =>
      filters.slice(0, 2).map((query) => ({ path: `/v1/events/ws?from=${from}&${query}`, streams: 'socket' as const })),
    ),
  'POST /v1/filters/check': ({ event, cursors }) => [
    post('/v1/filters/check', { filter: {} }),
    post('/v1/filters/check', { filter: { namespace: 'bank' } }),
    post('/v1/filters/check', { filter: { where: 'data.namespace == "bank"' } }),
    ...[event, ...cursors].map((wanted) => post('/v1/filters/check', { filter: {}, event: wanted })),
  ],
  'GET /v1/pods': () => collections('pods'),
  'GET /v1/pods/{namespace}/{name}': () => [
    '/v1/pods/bank/vault',
    '/v1/pods/shop/web',
    '/v1/pods/shop/..%2Fbank%2Fvault',
  ],
  'GET /v1/leases': () => [...collections('leases'), '/v1/leases?holder=bank-one', '/v1/leases?expired=false'],
  'GET /v1/leases/{namespace}/{name}': () => ['/v1/leases/bank/leader', '/v1/leases/shop/leader'],
  'GET /v1/leases/{namespace}/{name}/holders': () => [
    '/v1/leases/bank/leader/holders',
    '/v1/leases/shop/leader/holders',
  ],
  'GET /v1/holders/{identity}': () => ['/v1/holders/bank-one', '/v1/holders/vault'],
  'POST /v1/webhooks': () =>
    ['false', 'true'].flatMap((dryRun) =>
      [{}, { resource: 'pods' }, { namespace: 'bank', resource: 'pods' }, { namespace: '*', resource: 'pods' }].map(
        (filter) => post(`/v1/webhooks?dryRun=${dryRun}`, { url: 'http://127.0.0.1:9000/', filter }),
      ),
    ),
  'GET /v1/webhooks': ({ webhook }) => ['/v1/webhooks', `/v1/webhooks?continue=${webhook.slice(0, -1)}`],
  'GET /v1/webhooks/{id}': onHook('GET'),
  'PATCH /v1/webhooks/{id}': onHook('PATCH', '', { description: 'mine' }),
  'DELETE /v1/webhooks/{id}': onHook('DELETE'),
  'POST /v1/webhooks/{id}/rotate-secret': onHook('POST', '/rotate-secret'),
  'GET /v1/webhooks/{id}/keys': onHook('GET', '/keys'),
  'POST /v1/webhooks/{id}/enable': onHook('POST', '/enable'),
  'POST /v1/webhooks/{id}/disable': onHook('POST', '/disable'),
  'GET /v1/webhooks/{id}/deliveries': onHook('GET', '/deliveries'),
  'GET /v1/webhooks/{id}/deliveries/{delivery}': onHook('GET', '/deliveries/{delivery}'),
  'POST /v1/webhooks/{id}/deliveries/{delivery}/resend': onHook('POST', '/deliveries/{delivery}/resend'),
  'POST /v1/webhooks/{id}/test': onHook('POST', '/test'),
  'GET /v1/webhooks/{id}/verify': onHook('GET', '/verify'),
  'GET /v1/webhooks/{id}/explain': ({ webhook, event }) => [
    `/v1/webhooks/${webhook}/explain?event=${encodeURIComponent(event)}`,
  ],
  'POST /v1/webhooks/{id}/replay': onHook('POST', '/replay', { from: 'start' }),
  'POST /v1/webhooks/{id}/recover': onHook('POST', '/recover?since=2026-01-01T00:00:00Z'),
  'GET /v1/webhooks/{id}/tasks': onHook('GET', '/tasks'),
  'GET /v1/webhooks/{id}/tasks/{task}': onHook('GET', '/tasks/{task}'),
  'POST /v1/webhooks/{id}/tasks/{task}/cancel': onHook('POST', '/tasks/{task}/cancel'),
}

/** Routes that tell the owner of everything what must not leak: else the canary would prove nothing. */
const telling = [
  'GET /v1/events',
  'GET /v1/events/ws',
  'POST /v1/filters/check',
  'GET /v1/pods',
  'GET /v1/pods/{namespace}/{name}',
  'GET /v1/leases',
  'GET /v1/leases/{namespace}/{name}',
  'GET /v1/leases/{namespace}/{name}/holders',
  'GET /v1/holders/{identity}',
  'GET /v1/webhooks',
  'GET /v1/webhooks/{id}',
  'POST /v1/webhooks',
]

let serving: Serving
let world: World
let writers: SampleWriter[]
const tokens: Record<string, string> = {}
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

async function fetchText(tenant: string, ask: Ask | string): Promise<{ status: number; text: string }> {
  const { path, init, streams }: Ask = typeof ask === 'string' ? { path: ask } : ask
  if (streams === 'socket') return readSocket(tenant, path)
  const headers = { accept: 'application/json', ...init?.headers, authorization: `Bearer ${tokens[tenant]}` }
  const abort = new AbortController()
  const response = await fetch(`${serving.url}${path}`, { ...init, headers, signal: abort.signal })
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

async function readSocket(tenant: string, path: string): Promise<{ status: number; text: string }> {
  const issued = await fetchText(tenant, post('/v1/tickets'))
  if (issued.status !== 201) return issued
  const { ticket } = JSON.parse(issued.text)
  const socket = new WebSocket(`${serving.url.replace('http', 'ws')}${path}&ticket=${ticket}`)
  let text = ''
  const done = new Promise<number>((resolve) => {
    socket.addEventListener('error', () => resolve(403))
    socket.addEventListener('message', ({ data }) => {
      text += data
      if (text.split('"heartbeat"').length > 2) resolve(200)
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

test('nobody sees by any route, form or cursor what is not theirs', async () => {
  let asked = 0
  let isOver = false
  // Streams are live: what is written while they are open is told to them, if at all.
  const writing = (async () => {
    while (!isOver) {
      await write()
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  })()
  const check = async (tenant: string, ask: Ask | string) => {
    const { status, text } = await fetchText(tenant, ask)
    const label = `${tenant} ${JSON.stringify(ask)} ${status}`
    asked++
    const isReading = !/^\/v1\/(webhooks|login)/.test(typeof ask === 'string' ? ask : ask.path)
    if (tenant === 'hooks' && isReading) expect([403, 404], label).toContain(status)
    expect(status, label).toBeLessThan(500)
    expect(withoutEcho(text, ask), label).not.toContain(canary)
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
      if (!telling.includes(route)) continue
      const told = await Promise.all(asks.slice(0, 40).map((ask) => fetchText('owner', ask)))
      expect(
        told.some(({ text }) => text.includes(canary)),
        `${route} tells its owner`,
      ).toBe(true)
    }
  } finally {
    isOver = true
    await writing
  }
  expect(asked).toBeGreaterThan(700)
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

test('a look at history counts what one may see, not how much there is', async () => {
  await until(async () => {
    const { text } = await fetchText('shop', post('/v1/filters/check', { filter: { resource: 'pods' } }))
    const { history } = JSON.parse(text)
    return history.looked === history.matched && history.looked > 0
  })
})
