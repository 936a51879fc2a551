/** What may be asked for: found out by the owner of everything. */
export interface World {
  cursors: string[]
  event: string
  webhook: string
  delivery: string
  task: string
}

export interface Ask {
  path: string
  init?: RequestInit
  /** Opens a stream, which is read for a while. */
  streams?: 'http' | 'socket'
  /** What a WebSocket says when it was read for a while; then it is read for as long again after each. */
  messages?: object[]
}

type Plan =
  /** Answers everybody the same; says nothing of the cluster's objects. */
  'public' | ((world: World) => (Ask | string)[])

/** Part of everything in the namespace `bank`, and of no request but those that say so. */
export const canary = 'leak7f3a'

const json = { 'content-type': 'application/json' }
export const post = (path: string, body: object = {}): Ask => ({
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
export const plans: Readonly<Record<string, Plan>> = {
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
    ...filters.slice(0, 4).map((query) => ({ path: `/v1/events?from=now&wait=1&${query}` })),
    { path: `/v1/events?from=${cursors.at(-1)}&wait=1` },
    ...streams.flatMap((accept) => [
      ...[cursors[0], 'start', 'now', 'state'].flatMap((from) =>
        filters.slice(0, 2).map((query) => ({
          path: `/v1/events?from=${from}&${query}`,
          init: { headers: { accept } },
          streams: 'http' as const,
        })),
      ),
      // What another tenant saw last.
      {
        path: '/v1/events',
        init: { headers: { accept, 'last-event-id': cursors[0] ?? '' } },
        streams: 'http' as const,
      },
    ]),
  ],
  'GET /v1/events/ws': ({ cursors }) => [
    ...[cursors[0], 'state'].flatMap((from) =>
      filters.slice(0, 2).map((query) => ({ path: `/v1/events/ws?from=${from}&${query}`, streams: 'socket' as const })),
    ),
    ...[{}, { namespace: 'bank' }, { namespace: '*' }, { namespace: '!shop' }, { where: 'true' }].map((filter) => ({
      path: '/v1/events/ws?name=nobody',
      streams: 'socket' as const,
      messages: [{ filter }],
    })),
  ],
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
export const telling = [
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

/** In what form an answer comes: each that a route has must tell its owner something, or it would prove nothing. */
export function formOf(ask: Ask | string): string {
  const { path, init, streams, messages }: Ask = typeof ask === 'string' ? { path: ask } : ask
  const { accept, 'last-event-id': last } = (init?.headers ?? {}) as Record<string, string>
  const start = last === undefined ? /[?&]from=(now|state)\b/.exec(path)?.[1] : 'Last-Event-ID'
  const details = [accept, start, path.includes('wait=') && 'waiting', messages && 'with another filter']
  return [streams ?? 'answer', ...details.filter(Boolean)].join(' ')
}
