import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import { invalid } from '../../shared/errors.ts'
import { unauthorized } from '../auth/authenticator.ts'
import { requireAction } from '../auth/guard.ts'
import { requireOrigin } from '../auth/origin.ts'
import type { AppEnv } from '../deps.ts'
import { describeProblems } from '../schemas/common.ts'
import { socketQuery } from '../schemas/events.ts'
import { select } from '../selection.ts'
import type { Services } from '../services.ts'
import { findStart } from '../start.ts'
import { ndjson } from '../streams/frames.ts'
import { openReading } from '../streams/open.ts'
import { type Kept, type Link, serveSocket } from '../streams/socket.ts'

const route = createRoute({
  method: 'get',
  path: '/v1/events/ws',
  operationId: 'followEvents',
  summary: 'Follow changes over a WebSocket',
  description: [
    'Messages hold JSON lines, as `application/x-ndjson` of `/v1/events`: one or several. A message of the client, such as',
    '`{"filter": {"phase": ["Failed"]}}`, changes the filter from there on; `"relay": "ready"` says where, and `"relay": "error"`',
    'that it was not valid and the one before stays. `{"relay":"ping"}`, written just so, is answered `{"relay":"pong"}`.',
  ].join('\n'),
  tags: ['events'],
  request: { query: socketQuery },
  responses: { 101: { description: 'The WebSocket.' }, ...describeProblems(400, 401, 403, 422, 429, 503) },
})

/** `GET /v1/events/ws`. */
export function mountSocket(app: OpenAPIHono<AppEnv>, services: Services, origins: readonly string[]): void {
  app.openapi(route, async (c) => {
    // Programs send no Origin; browsers always do.
    if (c.req.header('origin') !== undefined) requireOrigin(c, origins)
    const { upgrade } = c.env ?? {}
    if (upgrade === undefined || c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
      throw invalid('Upgrade', 'this address is for WebSockets; /v1/events answers everything else')
    }
    const { from = 'now', ticket: _, ...clauses } = c.req.valid('query')
    const caller = c.get('caller')
    requireAction(caller, 'read')
    const selection = await select(services, caller, clauses)
    const start = await findStart(services.reader, from, undefined, selection.clauses)
    // Opened first: one that is not to be had is refused like any other request.
    const flow = openReading(services, { ...selection, caller, start, format: ndjson, kind: 'websocket' })
    return upgrade((link) =>
      serveSocket(services, link, { caller, selection, start, flow }, (message) =>
        select(services, caller, readMessage(message), 'filter.'),
      ),
    ) as never
  })
}

/**
 * Goes on with a WebSocket that outlived its process.
 * @throws RelayError `unauthorized` or `forbidden` when the caller may no longer see this, `unavailable` when that cannot be
 *   found out or there are too many streams.
 */
export async function resumeSocket(services: Services, link: Link, kept: Kept): Promise<void> {
  await requireHeld(services, kept)
  const { caller, selection, cursor } = kept
  const start = await findStart(services.reader, cursor, undefined, selection.clauses)
  const flow = openReading(services, { ...selection, caller, start, format: ndjson, kind: 'websocket' })
  serveSocket(services, link, { caller, selection, start, flow }, (message) =>
    select(services, caller, readMessage(message), 'filter.'),
  )
}

/**
 * Checks that a caller may still see all that a stream tells, which nobody did while it was kept.
 * @throws RelayError as `resumeSocket` does.
 */
export async function requireHeld(services: Services, { caller, selection }: Kept): Promise<void> {
  const { authenticator, logins, narrow, now } = services
  if (!authenticator.isNeeded) return
  const { login, expiresAt = Number.POSITIVE_INFINITY } = caller
  if (expiresAt <= now().getTime() || !(await authenticator.isValid(caller))) throw unauthorized()
  if (login !== undefined && (await logins.findEnded([login])).length > 0) throw unauthorized()
  await narrow(caller, selection.filter)
}

/** @throws RelayError `invalid` when it is not `{"filter": {…}}`. */
function readMessage(text: string): object {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch (error) {
    throw invalid('message', `no JSON (${error instanceof Error ? error.name : 'unreadable'})`)
  }
  const isKnown = typeof message === 'object' && message !== null && Object.keys(message).join() === 'filter'
  const filter: unknown =
    isKnown && message !== null && 'filter' in (message as object) ? (message as { filter: unknown }).filter : undefined
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter))
    throw invalid('message', 'write {"filter": {…}}')
  return filter
}
