import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { switchWebhook } from '../../shared/webhook/webhook.ts'
import type { AppEnv } from '../deps.ts'
import { readHead } from '../listing.ts'
import { missing, type WebhookContext } from './context.ts'
import { refusals, refusalsOfBody } from './problems.ts'
import { requireBatches, sealHeaders, toMs } from './register.ts'
import {
  changeHeaders,
  etag,
  webhookChange,
  webhookCollection,
  webhookParams,
  webhookQuery,
  webhook as webhookSchema,
} from './schemas.ts'
import { requireMatch, tagOf } from './version.ts'
import { viewWebhook } from './view.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })

const listRoute = createRoute({
  method: 'get',
  path: '/',
  operationId: 'listWebhooks',
  summary: 'Registered webhooks, oldest first',
  tags,
  request: { query: webhookQuery },
  responses: { 200: { description: 'Webhooks.', ...json(webhookCollection) }, ...refusals() },
})

const getRoute = createRoute({
  method: 'get',
  path: '/{id}',
  operationId: 'getWebhook',
  summary: 'One webhook',
  tags,
  request: { params: webhookParams },
  responses: {
    200: { description: 'The webhook.', headers: etag, ...json(webhookSchema) },
    ...refusals(404),
  },
})

const changeRoute = createRoute({
  method: 'patch',
  path: '/{id}',
  operationId: 'changeWebhook',
  summary: 'Change a webhook',
  tags,
  request: { params: webhookParams, headers: changeHeaders, body: { ...json(webhookChange), required: true } },
  responses: {
    200: {
      description:
        'The webhook as it is now; in effect for events from here on. While the current objects are still being told (`from: state`), a change of the filter tells them anew.',
      headers: etag,
      ...json(webhookSchema),
    },
    ...refusalsOfBody(404, 409, 412, 422),
  },
})

const removeRoute = createRoute({
  method: 'delete',
  path: '/{id}',
  operationId: 'removeWebhook',
  summary: 'Remove a webhook and the record of its deliveries',
  tags,
  request: { params: webhookParams, headers: changeHeaders },
  responses: { 204: { description: 'Removed.' }, ...refusals(404, 412) },
})

/** Lists, changes and removes webhooks. */
export function mountManagement(app: OpenAPIHono, context: WebhookContext): void {
  const { policy, reader, store, health, losses, box, now } = context

  app.openapi(listRoute, async (c) => {
    const { limit, continue: after = '' } = c.req.valid('query')
    const cursor = await readHead(reader)
    const [all, conditions] = await Promise.all([store.all(), health.all()])
    // Set by the guard where callers are known: each sees their own.
    const owner = (c as Context as Context<AppEnv>).get('owner')
    const rest = all.filter(({ id, owner: of }) => id > after && (owner === undefined || of?.tenant === owner.tenant))
    const page = rest.slice(0, limit)
    const lost = await losses.of(page.map(({ id }) => id))
    const items = await Promise.all(
      page.map((webhook) => {
        return viewWebhook(reader, webhook, { health: conditions.get(webhook.id), loss: lost.get(webhook.id) })
      }),
    )
    const last = items.at(-1)
    const next = last !== undefined && rest.length > limit ? { next: last.id } : {}
    return c.json({ items, cursor, ...next }, 200)
  })

  app.openapi(getRoute, async (c) => {
    const webhook = await context.find(c.req.valid('param').id)
    return c.json(await context.view(webhook), 200, { etag: tagOf(webhook) })
  })

  app.openapi(changeRoute, async (c) => {
    const { id } = c.req.valid('param')
    const input = c.req.valid('json')
    const url = input.url === undefined ? undefined : policy.checkUrl(input.url).href
    const filter = input.filter === undefined ? undefined : context.readFilter(input.filter)
    const headers = input.headers ? await sealHeaders(box, id, input.headers) : input.headers
    const schedule = input.schedule ? toMs(input.schedule) : input.schedule
    const ifMatch = c.req.valid('header')['if-match']
    const changed = await store.update(id, (current) => {
      requireMatch(ifMatch, current)
      // Somebody who turns an endpoint on or off has taken the reason back, or gives one of their own.
      const {
        description,
        batchSeconds,
        schedule: __,
        fields,
        headers: ___,
        ...rest
      } = input.enabled === undefined ? current : switchWebhook(current, input.enabled, { at: now().getTime() })
      const after = {
        ...rest,
        ...(url === undefined ? {} : { url }),
        ...(filter === undefined ? {} : { filter }),
        ...(input.ordering === undefined ? {} : { ordering: input.ordering }),
        ...(input.content === undefined ? {} : { content: input.content }),
        ...keep('description', input.description, description),
        ...keep('batchSeconds', input.batchSeconds, batchSeconds),
        ...keep('schedule', schedule, current.schedule),
        ...keep('fields', input.fields, fields),
        ...keep('headers', headers, current.headers),
      }
      requireBatches(after)
      return after
    })
    if (changed === undefined) throw missing(id)
    if (input.enabled === true) await health.recover(id)
    return c.json(await context.view(changed), 200, { etag: tagOf(changed) })
  })

  app.openapi(removeRoute, async (c) => {
    const { id } = c.req.valid('param')
    requireMatch(c.req.valid('header')['if-match'], await context.find(id))
    if (!(await store.remove(id))) throw missing(id)
    return c.body(null, 204)
  })
}

/** A field as it is after a change: null takes it away, undefined leaves it. */
function keep<Name extends string, T>(name: Name, wish: T | null | undefined, before: T | undefined) {
  const value = wish === undefined ? before : (wish ?? undefined)
  return (value === undefined ? {} : { [name]: value }) as { [key in Name]?: T }
}
