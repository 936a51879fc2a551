import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { invalid } from '../../shared/errors.ts'
import { parseFilter } from '../../shared/filter/filter.ts'
import { formatPosition } from '../../shared/position.ts'
import { switchWebhook, type Webhook } from '../../shared/webhook/webhook.ts'
import type { AppEnv } from '../deps.ts'
import { readHead } from '../listing.ts'
import { describeProblems } from '../schemas/common.ts'
import { findStart, requireKept } from '../start.ts'
import { missing, type WebhookContext } from './context.ts'
import { createOnce } from './once.ts'
import {
  createdWebhook,
  creationHeaders,
  webhookChange,
  webhookCollection,
  webhookInput,
  webhookParams,
  webhookQuery,
  webhook as webhookSchema,
} from './schemas.ts'
import { createSecrets, tellSecrets } from './secrets.ts'
import { viewWebhook } from './view.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })

const createRouteOf = createRoute({
  method: 'post',
  path: '/',
  operationId: 'createWebhook',
  summary: 'Register a webhook',
  tags,
  request: { headers: creationHeaders, body: { ...json(webhookInput), required: true } },
  responses: {
    201: {
      description: 'Registered. The secret is told this once.',
      headers: { Location: { schema: { type: 'string' }, description: 'Its address.' } },
      ...json(createdWebhook),
    },
    ...describeProblems(400, 409, 410, 503),
  },
})

const listRoute = createRoute({
  method: 'get',
  path: '/',
  operationId: 'listWebhooks',
  summary: 'Registered webhooks, oldest first',
  tags,
  request: { query: webhookQuery },
  responses: { 200: { description: 'Webhooks.', ...json(webhookCollection) }, ...describeProblems(400, 503) },
})

const getRoute = createRoute({
  method: 'get',
  path: '/{id}',
  operationId: 'getWebhook',
  summary: 'One webhook',
  tags,
  request: { params: webhookParams },
  responses: { 200: { description: 'The webhook.', ...json(webhookSchema) }, ...describeProblems(404, 503) },
})

const changeRoute = createRoute({
  method: 'patch',
  path: '/{id}',
  operationId: 'changeWebhook',
  summary: 'Change a webhook',
  tags,
  request: { params: webhookParams, body: { ...json(webhookChange), required: true } },
  responses: {
    200: { description: 'The webhook as it is now; in effect for events from here on.', ...json(webhookSchema) },
    ...describeProblems(400, 404, 503),
  },
})

const removeRoute = createRoute({
  method: 'delete',
  path: '/{id}',
  operationId: 'removeWebhook',
  summary: 'Remove a webhook and the record of its deliveries',
  tags,
  request: { params: webhookParams },
  responses: { 204: { description: 'Removed.' }, ...describeProblems(404, 503) },
})

/** Registers, lists, changes and removes webhooks. */
export function mountManagement(app: OpenAPIHono, context: WebhookContext): void {
  const { policy, reader, store, health, box, now } = context
  const once = createOnce(context)

  app.openapi(createRouteOf, async (c) => {
    const input = c.req.valid('json')
    const { description, ordering, schedule, fields, headers } = input
    const url = policy.checkUrl(input.url).href
    const filter = parseFilter(input.filter, 'filter.')
    if (input.from === 'state') throw invalid('from', 'one of now, start, a cursor or a time; state is for streams')
    // Set where callers are known.
    const caller = (c as Context as Context<AppEnv>).get('caller')
    const id = await once(c.req.valid('header')['idempotency-key'], caller?.tenant, input)
    const answer = async (webhook: Webhook) => ({ ...viewWebhook(webhook), ...(await tellSecrets(box, webhook)) })
    const location = `/v1/webhooks/${id}`
    const before = await store.get(id)
    if (before !== undefined) return c.json(await answer(before), 201, { location })
    const start = formatPosition(requireKept(await findStart(reader, input.from, undefined)))
    const created: Webhook = {
      id,
      url,
      filter,
      ...(description === undefined ? {} : { description }),
      enabled: true,
      ...(ordering === undefined ? {} : { ordering }),
      ...(schedule === undefined ? {} : { schedule: toMs(schedule) }),
      ...(fields === undefined ? {} : { fields }),
      ...(headers === undefined ? {} : { headers: await seal(id, headers) }),
      createdAt: now().toISOString(),
      start,
      secrets: await createSecrets(box, id, input.signatures),
    }
    const isFirst = await store.create(created)
    return c.json(await answer(isFirst ? created : await context.find(id)), 201, { location })
  })

  app.openapi(listRoute, async (c) => {
    const { limit, continue: after = '' } = c.req.valid('query')
    const cursor = await readHead(reader)
    const [all, conditions] = await Promise.all([store.all(), health.all()])
    // Set by the guard where callers are known: each sees their own.
    const owns = (c as Context as Context<AppEnv>).get('ownsWebhook')
    const rest = all.filter(({ id }) => id > after && (owns?.(id) ?? true))
    const items = rest.slice(0, limit).map((webhook) => viewWebhook(webhook, conditions.get(webhook.id)))
    const last = items.at(-1)
    const next = last !== undefined && rest.length > limit ? { next: last.id } : {}
    return c.json({ items, cursor, ...next }, 200)
  })

  app.openapi(getRoute, async (c) => {
    const webhook = await context.find(c.req.valid('param').id)
    return c.json(viewWebhook(webhook, (await health.all()).get(webhook.id)), 200)
  })

  app.openapi(changeRoute, async (c) => {
    const { id } = c.req.valid('param')
    const input = c.req.valid('json')
    const url = input.url === undefined ? undefined : policy.checkUrl(input.url).href
    const filter = input.filter === undefined ? undefined : parseFilter(input.filter, 'filter.')
    const headers = input.headers ? await seal(id, input.headers) : input.headers
    const schedule = input.schedule ? toMs(input.schedule) : input.schedule
    const changed = await store.update(id, (current) => {
      // Somebody who turns an endpoint on or off has taken the reason back, or gives one of their own.
      const {
        description,
        schedule: __,
        fields,
        headers: ___,
        ...rest
      } = input.enabled === undefined ? current : switchWebhook(current, input.enabled)
      return {
        ...rest,
        ...(url === undefined ? {} : { url }),
        ...(filter === undefined ? {} : { filter }),
        ...(input.ordering === undefined ? {} : { ordering: input.ordering }),
        ...keep('description', input.description, description),
        ...keep('schedule', schedule, current.schedule),
        ...keep('fields', input.fields, fields),
        ...keep('headers', headers, current.headers),
      }
    })
    if (changed === undefined) throw missing(id)
    if (input.enabled === true) await health.recover(id)
    return c.json(viewWebhook(changed, (await health.all()).get(id)), 200)
  })

  app.openapi(removeRoute, async (c) => {
    const { id } = c.req.valid('param')
    if (!(await store.remove(id))) throw missing(id)
    return c.body(null, 204)
  })

  async function seal(id: string, headers: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const sealed = Object.entries(headers).map(async ([name, value]) => [name, await box.seal(value, id)] as const)
    return Object.fromEntries(await Promise.all(sealed))
  }
}

function toMs(seconds: readonly number[]): number[] {
  return seconds.map((each) => each * 1000)
}

/** A field as it is after a change: null takes it away, undefined leaves it. */
function keep<Name extends string, T>(name: Name, wish: T | null | undefined, before: T | undefined) {
  const value = wish === undefined ? before : (wish ?? undefined)
  return (value === undefined ? {} : { [name]: value }) as { [key in Name]?: T }
}
