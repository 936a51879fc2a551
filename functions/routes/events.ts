import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { formatCursor } from '../../shared/cursor.ts'
import { invalid } from '../../shared/errors.ts'
import { compileFilter, type Filter, parseFilter } from '../../shared/filter/filter.ts'
import { requireAction } from '../auth/guard.ts'
import type { AppEnv } from '../deps.ts'
import { readEventPage } from '../event-page.ts'
import { chooseFormat } from '../negotiation.ts'
import { requireWatched } from '../resources.ts'
import { describeProblems } from '../schemas/common.ts'
import { eventHeaders, eventPage, eventQuery } from '../schemas/events.ts'
import type { Services } from '../services.ts'
import { findStart, requireKept, type Start } from '../start.ts'
import { frameControl, frameRetry, joinBytes, sse } from '../streams/frames.ts'
import { readSnapshot, type Snapshot } from '../streams/snapshot.ts'
import { frameReset, openStream, type Prelude } from '../streams/subscription.ts'

const startHeader = {
  'Relay-Cursor': { schema: { type: 'string' as const }, description: 'Where reading really starts.' },
}

const route = createRoute({
  method: 'get',
  path: '/v1/events',
  operationId: 'readEvents',
  summary: 'Follow or read changes',
  description: [
    'Answers by `Accept`: a stream of server-sent events (also for `*/*`), or one page as JSON.',
    'In a stream, a message without a name is an event: its `data` is one CloudEvent and its `id` the cursor after it.',
    'Before the first one comes `event: ready` with `{"cursor"}`, or `event: reset` with `{"oldest", "reason"}` when events after the',
    'asked place are no longer kept (`trimmed`) or the log was begun anew (`replaced`); the stream then goes on from the oldest.',
    'A reset may also come later, for a reader that fell too far behind. With `from=state` the current objects follow `ready`, as',
    '`added` events with `"synthetic": "state"` and without a cursor; `event: live` comes after the last of them.',
    'A heartbeat moves the last event id forward even when nothing matches.',
  ].join('\n'),
  tags: ['events'],
  request: { query: eventQuery, headers: eventHeaders },
  responses: {
    200: {
      description: 'Events.',
      headers: startHeader,
      content: {
        'text/event-stream': {
          schema: z.string().openapi({ example: 'id: k3v9x0q2zt-5yc\ndata: {"specversion":"1.0"}\n\n' }),
        },
        'application/json': { schema: eventPage },
      },
    },
    ...describeProblems(400, 401, 403, 406, 410, 422, 429, 503),
  },
})

/** `GET /v1/events`: the log as a stream or a page. */
export function mountEvents(app: OpenAPIHono<AppEnv>, services: Services): void {
  app.openapi(route, async (c) => {
    const format = chooseFormat(c.req.header('accept'))
    const { from, limit, ticket: _, ...clauses } = c.req.valid('query')
    const caller = c.get('caller')
    requireAction(caller, 'read')
    const asked = parseFilter(clauses)
    requireWatched(asked, services.resources)
    const filter = await services.narrow(caller, asked)
    c.header('vary', 'Accept')
    if (format === 'page' && from === 'state') {
      throw invalid('from', 'state is for streams; /v1/pods and /v1/leases list current objects, with a cursor')
    }
    const origin = from ?? (format === 'page' ? 'start' : 'now')
    const start = await findStart(services.reader, origin, c.req.valid('header')['last-event-id'])
    c.header('relay-cursor', formatCursor(start.position))
    return format === 'page' ? answerPage(c, services, start, filter, limit) : answerStream(c, services, start, filter)
  })
}

async function answerPage(c: Context<AppEnv>, services: Services, start: Start, filter: Filter, limit: number) {
  const page = await readEventPage(services.hub.pages, requireKept(start), compileFilter(filter), limit)
  const next = new URL(c.req.url)
  next.searchParams.set('from', page.next)
  c.header('link', `<${next.pathname}${next.search}>; rel="next"`)
  c.header('content-type', 'application/json')
  // The events are JSON already.
  return c.body(`{"events":[${page.events.join(',')}],"next":"${page.next}"}`)
}

function answerStream(c: Context<AppEnv>, services: Services, start: Start, filter: Filter): Response {
  c.header('content-type', 'text/event-stream')
  c.header('cache-control', 'no-store, no-transform')
  // nginx would otherwise hold events back until its buffer is full.
  c.header('x-accel-buffering', 'no')
  // The framework answers HEAD by GET and drops the body; a stream would stay open.
  if (c.req.raw.method === 'HEAD') return c.body(null)
  const { cluster, state, resources, now, sessions } = services
  const caller = c.get('caller')
  const snapshot = start.withState
    ? readSnapshot({ state, cluster, resources, filter, start: start.position, now })
    : undefined
  const stream = openStream(services, {
    filter,
    format: sse,
    start: start.position,
    prelude: writePrelude(start, snapshot),
    guard: (end) => sessions.open(caller, filter, end),
    signal: c.req.raw.signal,
    ...(snapshot === undefined ? {} : { seen: snapshot.seen }),
    ...(c.env.hangUp === undefined ? {} : { hangUp: c.env.hangUp }),
  })
  return c.body(stream)
}

async function* writePrelude(start: Start, snapshot: Snapshot | undefined): Prelude {
  // Spread out, so that the clients of a process that ended do not all come back in the same second.
  const retry = frameRetry(1_000 + Math.random() * 3_000)
  const cursor = formatCursor(start.position)
  if (snapshot === undefined) {
    const isLost = start.lost !== undefined
    yield joinBytes([
      retry,
      isLost ? frameReset(start.position, start.lost) : frameControl('ready', { cursor }, cursor),
    ])
    return
  }
  // No id before the last object: a client that comes back sooner must get all of them again.
  yield joinBytes([retry, frameControl('ready', { cursor })])
  yield* snapshot.frames
  yield frameControl('live', { cursor }, cursor)
}
