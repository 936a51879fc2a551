import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { requireAction } from '../auth/guard.ts'
import { ticketSeconds } from '../auth/tickets.ts'
import type { AppEnv } from '../deps.ts'
import { describeProblems } from '../schemas/common.ts'
import type { Services } from '../services.ts'

const ticket = z
  .object({
    ticket: z.string().openapi({ description: 'Goes into `?ticket=` of `/v1/events`, once.' }),
    expiresInSeconds: z.int(),
  })
  .openapi('Ticket')

const route = createRoute({
  method: 'post',
  path: '/v1/tickets',
  operationId: 'createTicket',
  summary: 'Get a ticket for an EventSource or a WebSocket',
  tags: ['events'],
  responses: {
    201: { description: 'A ticket, for one use within its time.', content: { 'application/json': { schema: ticket } } },
    ...describeProblems(401, 403, 429, 503),
  },
})

/** `POST /v1/tickets`: so that no credential ever has to be in a URL. */
export function mountTickets(app: OpenAPIHono<AppEnv>, { tickets }: Services): void {
  app.openapi(route, async (c) => {
    const caller = c.get('caller')
    requireAction(caller, 'read')
    return c.json({ ticket: await tickets.issue(caller), expiresInSeconds: ticketSeconds }, 201)
  })
}
