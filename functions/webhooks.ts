import { createRoute, OpenAPIHono } from '@hono/zod-openapi'
import { formatCursor } from '../shared/cursor.ts'
import { invalid, RelayError } from '../shared/errors.ts'
import { parseFilter } from '../shared/filter/filter.ts'
import type { Keys } from '../shared/keys.ts'
import { createLogReader } from '../shared/log/reader.ts'
import type { RedisClient } from '../shared/redis.ts'
import type { AddressPolicy } from '../shared/webhook/address.ts'
import type { Attempt } from '../shared/webhook/delivery.ts'
import { createLedger, type ListedDelivery } from '../shared/webhook/ledger.ts'
import { createSecret, createSecretBox } from '../shared/webhook/secret.ts'
import { createWebhookStore } from '../shared/webhook/store.ts'
import { createWebhookId, type Webhook } from '../shared/webhook/webhook.ts'
import type { AppEnv } from './deps.ts'
import { readHead } from './listing.ts'
import { describeProblems } from './schemas/common.ts'
import { findStart, requireKept } from './start.ts'
import {
  createdWebhook,
  deliveryCollection,
  deliveryQuery,
  webhookChange,
  webhookCollection,
  webhookInput,
  webhookParams,
  webhookQuery,
  webhook as webhookSchema,
} from './webhook-schemas.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })

const createRouteOf = createRoute({
  method: 'post',
  path: '/',
  operationId: 'createWebhook',
  summary: 'Register a webhook',
  tags,
  request: { body: { ...json(webhookInput), required: true } },
  responses: {
    201: {
      description: 'Registered. The secret is told this once.',
      headers: { Location: { schema: { type: 'string' }, description: 'Its address.' } },
      ...json(createdWebhook),
    },
    ...describeProblems(400, 410, 503),
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

const deliveriesRoute = createRoute({
  method: 'get',
  path: '/{id}/deliveries',
  operationId: 'listDeliveries',
  summary: 'What was sent, and how it went; newest events first',
  tags,
  request: { params: webhookParams, query: deliveryQuery },
  responses: { 200: { description: 'Deliveries.', ...json(deliveryCollection) }, ...describeProblems(400, 404, 503) },
})

export interface WebhookRouteDeps {
  redis: RedisClient
  keys: Keys
  /** The key under which secrets are encrypted: the same one that delivers. */
  encryptionKey: Uint8Array | string
  policy: AddressPolicy
  now?: () => Date
}

/** Creates the routes of `/v1/webhooks`. They throw `RelayError`s, which the app answers. */
export function createWebhookRoutes(deps: WebhookRouteDeps): OpenAPIHono<AppEnv> {
  const { redis, keys, policy, now = () => new Date() } = deps
  const box = createSecretBox(deps.encryptionKey)
  const reader = createLogReader(redis, keys)
  const store = createWebhookStore(redis, keys)
  const ledger = createLedger(redis, keys)
  const app = new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw toInvalid(result.error.issues)
    },
  })
  const find = async (id: string) => {
    const found = await store.get(id)
    if (found === undefined) throw missing(id)
    return found
  }

  app.openapi(createRouteOf, async (c) => {
    const input = c.req.valid('json')
    const url = policy.checkUrl(input.url).href
    const filter = parseFilter(input.filter, 'filter.')
    if (input.from === 'state') throw invalid('from', 'one of now, start, a cursor or a time; state is for streams')
    const start = formatCursor(requireKept(await findStart(reader, input.from, undefined)))
    const time = now()
    const id = createWebhookId(time.getTime())
    const secret = createSecret()
    const created: Webhook = {
      id,
      url,
      filter,
      ...(input.description === undefined ? {} : { description: input.description }),
      enabled: true,
      createdAt: time.toISOString(),
      start,
      secrets: [{ sealed: await box.seal(secret, id) }],
    }
    await store.create(created)
    return c.json({ ...view(created), secret }, 201, { location: `/v1/webhooks/${id}` })
  })

  app.openapi(listRoute, async (c) => {
    const { limit, continue: after = '' } = c.req.valid('query')
    const cursor = await readHead(reader)
    const owns = c.get('ownsWebhook') ?? (() => true)
    const rest = (await store.all()).filter(({ id }) => id > after && owns(id))
    const items = rest.slice(0, limit)
    const last = items.at(-1)
    const next = last !== undefined && rest.length > limit ? { next: last.id } : {}
    return c.json({ items: items.map(view), cursor, ...next }, 200)
  })

  app.openapi(getRoute, async (c) => c.json(view(await find(c.req.valid('param').id)), 200))

  app.openapi(changeRoute, async (c) => {
    const { id } = c.req.valid('param')
    const input = c.req.valid('json')
    const url = input.url === undefined ? undefined : policy.checkUrl(input.url).href
    const filter = input.filter === undefined ? undefined : parseFilter(input.filter, 'filter.')
    const changed = await store.update(id, (current) => {
      const { description: before, disabledReason, ...rest } = current
      const description = input.description === undefined ? before : (input.description ?? undefined)
      const enabled = input.enabled ?? current.enabled
      return {
        ...rest,
        enabled,
        ...(url === undefined ? {} : { url }),
        ...(filter === undefined ? {} : { filter }),
        ...(description === undefined ? {} : { description }),
        // Somebody who turns an endpoint on or off has taken the reason back, or gives one of their own.
        ...(disabledReason === undefined || input.enabled !== undefined ? {} : { disabledReason }),
      }
    })
    if (changed === undefined) throw missing(id)
    return c.json(view(changed), 200)
  })

  app.openapi(removeRoute, async (c) => {
    const { id } = c.req.valid('param')
    if (!(await store.remove(id))) throw missing(id)
    return c.body(null, 204)
  })

  app.openapi(deliveriesRoute, async (c) => {
    const { id } = c.req.valid('param')
    const { limit, state, continue: before } = c.req.valid('query')
    await find(id)
    const cursor = await readHead(reader)
    const found = await ledger.list(id, {
      limit: limit + 1,
      ...(state === undefined ? {} : { state }),
      ...(before === undefined ? {} : { before }),
    })
    const items = found.slice(0, limit)
    const last = items.at(-1)
    const next = last !== undefined && found.length > limit ? { next: last.id } : {}
    return c.json({ items: items.map(viewDelivery), cursor, ...next }, 200)
  })

  return app
}

/** What anybody may see of a webhook: all but its secrets. */
function view({ secrets: _, ...rest }: Webhook): Omit<Webhook, 'secrets'> {
  return rest
}

function viewDelivery({ id, event, state, reason, scope, due, acceptedAt, endedAt, attempts }: ListedDelivery) {
  return {
    id,
    eventId: event,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(scope === undefined ? {} : { scope }),
    acceptedAt: toTime(acceptedAt),
    ...(endedAt === undefined ? {} : { endedAt: toTime(endedAt) }),
    ...(due === undefined ? {} : { nextAttemptAt: toTime(due) }),
    attempts: attempts.map((attempt: Attempt) => ({ ...attempt, at: toTime(attempt.at) })),
  }
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}

function missing(id: string): RelayError {
  return new RelayError('not_found', `There is no webhook ${id}.`)
}

interface Issue {
  readonly code: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
}

function toInvalid(issues: readonly Issue[]): RelayError {
  const [issue] = issues
  const unknown = issue?.keys?.[0]
  const path = [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].map(String).join('.')
  return invalid(
    path === '' ? 'body' : path,
    unknown === undefined ? (issue?.message ?? 'not valid') : 'not known here',
  )
}
