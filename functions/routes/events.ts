import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { invalid } from '../../shared/errors.ts'
import { requireAction } from '../auth/guard.ts'
import type { AppEnv } from '../deps.ts'
import { waitForPage } from '../event-page.ts'
import { chooseFormat } from '../negotiation.ts'
import { describeProblems } from '../schemas/common.ts'
import { eventHeaders, eventPage, eventQuery } from '../schemas/events.ts'
import { type Selection, select } from '../selection.ts'
import type { Services } from '../services.ts'
import { findStart, requireKept, type Start } from '../start.ts'
import { ndjson, sse } from '../streams/frames.ts'
import { openReading } from '../streams/open.ts'
import { toCursor } from '../streams/place.ts'
import { toReadable } from '../streams/readable.ts'

const startHeader = {
  'Relay-Cursor': {
    schema: { type: 'string' as const },
    description: 'Where reading really starts; of a page, where it ends.',
  },
}

const route = createRoute({
  method: 'get',
  path: '/v1/events',
  operationId: 'readEvents',
  summary: 'Follow or read changes',
  description: [
    'Answers by `Accept`: a stream of server-sent events (also for `*/*`) or of JSON lines, or one page, as JSON or as a batch of',
    'CloudEvents (whose `next` is in the header `Relay-Cursor`). In JSON lines, what is no event has a member `relay`.',
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
          schema: z.string().openapi({ example: 'id: k3v9x0q2zt-5yc-7t0ehv2n\ndata: {"specversion":"1.0"}\n\n' }),
        },
        'application/x-ndjson': { schema: z.string() },
        'application/json': { schema: eventPage },
        'application/cloudevents-batch+json': { schema: eventPage.shape.events },
      },
    },
    ...describeProblems(400, 401, 403, 406, 410, 422, 429, 503),
  },
})

/** `GET /v1/events`: the log as a stream or a page. */
export function mountEvents(app: OpenAPIHono<AppEnv>, services: Services): void {
  app.openapi(route, async (c) => {
    const format = chooseFormat(c.req.header('accept'))
    const { from, limit, wait, ticket: _, ...asked } = c.req.valid('query')
    const caller = c.get('caller')
    requireAction(caller, 'read')
    const selection = await select(services, caller, asked)
    const { clauses } = selection
    c.header('vary', 'Accept')
    const isStream = format === 'stream' || format === 'lines'
    if (!isStream && from === 'state') {
      throw invalid('from', 'state is for streams; /v1/pods and /v1/leases list current objects, with a cursor')
    }
    const origin = from ?? (isStream ? 'now' : 'start')
    const start = await findStart(services.reader, origin, c.req.valid('header')['last-event-id'], clauses)
    c.header('relay-cursor', toCursor(start, clauses))
    if (isStream) return answerStream(c, services, start, selection, format === 'stream' ? 'sse' : 'ndjson')
    requireKept(start)
    const wish = { ...selection, caller, limit, wait }
    const page = await waitForPage(services, start, wish, c.req.raw.signal)
    return answerPage(c, { events: page.events, cursor: toCursor(page.next, clauses) }, format)
  })
}

async function answerPage(
  c: Context<AppEnv>,
  page: { events: readonly string[]; cursor: string },
  format: 'page' | 'batch',
) {
  const { cursor } = page
  const next = new URL(c.req.url)
  next.searchParams.set('from', cursor)
  // It was good for this once.
  next.searchParams.delete('ticket')
  // Whatever path a proxy serves this under: a reference without a path keeps that of the request.
  c.header('link', `<${next.search}>; rel="next"`)
  c.header('relay-cursor', cursor)
  // The events are JSON already.
  const events = `[${page.events.join(',')}]`
  c.header('content-type', format === 'page' ? 'application/json' : 'application/cloudevents-batch+json')
  return c.body(format === 'page' ? `{"events":${events},"next":"${cursor}"}` : events)
}

function answerStream(
  c: Context<AppEnv>,
  services: Services,
  start: Start,
  selection: Selection,
  kind: 'sse' | 'ndjson',
): Response {
  const format = { sse, ndjson }[kind]
  c.header('content-type', format.type)
  c.header('cache-control', 'no-store, no-transform')
  // nginx would otherwise hold events back until its buffer is full.
  c.header('x-accel-buffering', 'no')
  // The framework answers HEAD by GET and drops the body; a stream would stay open.
  if (c.req.raw.method === 'HEAD') return c.body(null)
  const flow = openReading(services, { ...selection, caller: c.get('caller'), start, format, kind })
  // Straight to the socket where the runtime can: each reader then costs a third of the memory.
  if (c.env?.pour === undefined) return c.body(toReadable(flow, c.req.raw.signal))
  c.env.pour(flow)
  return c.body(null)
}
