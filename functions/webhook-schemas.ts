import { z } from '@hono/zod-openapi'
import { filterNames } from '../shared/filter/filter.ts'
import { attemptErrors, deliveryStates } from '../shared/webhook/delivery.ts'
import { disabledReasons, orderings } from '../shared/webhook/webhook.ts'
import { continuation, createCollection, createLimit } from './schemas/common.ts'

const clause = z.union([z.string(), z.array(z.string())])

const filterShape = Object.fromEntries(
  filterNames.map((name) => [name, name === 'labelSelector' ? z.string().optional() : clause.optional()]),
)

/** Documented in full; what is in it is read by the same parser as a query string's filter. */
const filterInput = z.record(z.string(), z.unknown()).openapi({
  type: 'object',
  properties: Object.fromEntries(
    filterNames.map((name) => [
      name,
      name === 'labelSelector'
        ? { type: 'string' as const }
        : { type: 'array' as const, items: { type: 'string' as const } },
    ]),
  ),
  additionalProperties: false,
  description: 'The same names as in the query of `/v1/events`; a value or a list of values. Empty: every event.',
  example: { resource: ['pods'], 'phase.to': ['Failed'] },
})

const description = z.string().max(1000).openapi({ example: 'Pages the shop team' })

const url = z
  .string()
  .min(1)
  .openapi({ format: 'uri', description: 'Where to post. Public addresses only.', example: 'https://example.com/hook' })

export const webhookInput = z
  .strictObject({
    url,
    filter: filterInput.default({}),
    description: description.optional(),
    from: z.string().min(1).max(128).default('now').openapi({
      description:
        'The first event: `now`, `start` (the oldest that is kept), a cursor (what comes after it), or a time in RFC 3339.',
    }),
  })
  .openapi('WebhookInput')

export const webhookChange = z
  .strictObject({
    url: url.optional(),
    filter: filterInput.optional(),
    description: description.nullable().optional().openapi({ description: 'Null takes it away.' }),
    enabled: z.boolean().optional(),
  })
  .openapi('WebhookChange')

const webhookFields = {
  id: z.string().openapi({ example: 'wh_0mi3c9x1k4q8z7w2n5a' }),
  url: z.string(),
  filter: z.object(filterShape),
  description: z.string().optional(),
  enabled: z.boolean(),
  disabledReason: z.enum(disabledReasons).optional().openapi({
    description: 'Why the relay turned it off: `gone`, it answered 410; `failing`, it took nothing for days.',
  }),
  disabledAt: z.string().optional().openapi({ format: 'date-time', description: 'When the relay turned it off.' }),
  ordering: z.enum(orderings).optional(),
  schedule: z.array(z.int()).optional(),
  fields: z.array(z.string()).optional(),
  headers: z.record(z.string(), z.string()).optional(),
  createdAt: z.string().openapi({ format: 'date-time' }),
  start: z.string().openapi({ description: 'Cursor: events after it are sent.' }),
}

export const webhook = z.object(webhookFields).openapi('Webhook')

export const createdWebhook = z
  .object({
    ...webhookFields,
    secret: z
      .string()
      .openapi({ description: 'Verifies signatures, by Standard Webhooks. Told this once.', example: 'whsec_…' }),
  })
  .openapi('CreatedWebhook')

export const webhookCollection = createCollection('WebhookCollection', webhook)

export const webhookQuery = z.strictObject({ limit: createLimit(100), continue: continuation })

const attempt = z
  .object({
    at: z.string().openapi({ format: 'date-time' }),
    status: z.int().optional(),
    latencyMs: z.int(),
    error: z.enum(attemptErrors).optional(),
    detail: z.string().optional(),
    response: z.string().optional().openapi({ description: "The first 1 KiB of the answer's body." }),
  })
  .openapi('Attempt')

const delivery = z
  .object({
    id: z.string(),
    eventId: z.string(),
    state: z.enum(deliveryStates),
    reason: z.enum(['exhausted', 'trimmed']).optional(),
    scope: z.enum(['entered', 'left']).optional(),
    acceptedAt: z.string().openapi({ format: 'date-time' }),
    endedAt: z.string().optional().openapi({ format: 'date-time' }),
    nextAttemptAt: z.string().optional().openapi({ format: 'date-time' }),
    attempts: z.array(attempt),
  })
  .openapi('Delivery')

export const deliveryCollection = createCollection('DeliveryCollection', delivery)

export const deliveryQuery = z.strictObject({
  state: z.enum(deliveryStates).optional().openapi({ description: 'Only deliveries in this state.' }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(200)
    .default(50)
    .openapi({ type: 'integer', minimum: 1, maximum: 200, default: 50, description: 'How many at most.' }),
  continue: continuation,
})

export const webhookParams = z.object({ id: z.string().min(1).max(64) })
