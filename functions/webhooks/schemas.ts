import { z } from '@hono/zod-openapi'
import { filterNames } from '../../shared/filter/filter.ts'
import { contents, disabledReasons, orderings } from '../../shared/webhook/webhook.ts'
import { continuation, createCollection, createLimit, filterObject } from '../schemas/common.ts'
import { event } from '../schemas/events.ts'

const clause = z.union([z.string(), z.array(z.string())])

const filterShape = Object.fromEntries(
  filterNames.map((name) => [name, name === 'labelSelector' ? z.string().optional() : clause.optional()]),
)

/** Documented in full; what is in it is read by the same parser as a query string's filter. */
export const filterInput = filterObject.openapi({
  type: 'object',
  properties: Object.fromEntries(
    filterNames.map((name) => [
      name,
      name === 'labelSelector'
        ? { type: 'string' as const }
        : { anyOf: [{ type: 'string' as const }, { type: 'array' as const, items: { type: 'string' as const } }] },
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

const pause = z
  .int()
  .min(0)
  .max(7 * 24 * 3600)

const schedule = z
  .array(pause)
  .min(1)
  .max(50)
  .openapi({
    description: 'Seconds before each attempt, the first counted from the event. Standard: 11 attempts over 75 hours.',
    example: [0, 5, 60, 300],
  })

const ordering = z.enum(orderings).openapi({
  description:
    '`none`: each at once. `object`: of one object the next only after the one before ended. `latest`: the same, and what waits gives way to the newest state.',
})

const content = z.enum(contents).openapi({
  description:
    'How CloudEvents puts events into requests. `structured`: one event as JSON. `binary`: its `data` as the body, all else in `ce-` headers. `batch`: a JSON list of events that came together, up to 64 or 256 kB; they are taken or repeated as one, under one `webhook-id`.',
})

const batchSeconds = z.int().min(0).max(60).openapi({
  description:
    'For how many seconds a batch may wait for more events after its first; it is sent sooner when it is full. Standard: 0, what comes together goes together. With `content: batch` and `ordering: none`.',
  example: 2,
})

const fields = z
  .array(
    z.string().regex(/^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9_./-]+)?$/, 'a field of data, such as phase or labels.app'),
  )
  .min(1)
  .max(50)
  .openapi({
    description: "What of an event's `data` is sent beside what names its object.",
    example: ['phase', 'labels.app'],
  })

/** Names that say something to whoever carries or takes the request, and are ours to set or nobody's. */
const reserved =
  /^(host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|user-agent|webhook-.*|ce-.*|forwarded|x-forwarded-.*|via|date|cookie|accept-encoding)$/

const headerName = z
  .string()
  .max(64)
  .regex(/^[a-z][a-z0-9-]*$/, 'a name in lower case, such as x-team')
  .refine((name) => !reserved.test(name), 'a header that is not for you to set')

const headers = z
  .record(
    headerName,
    z
      .string()
      .max(1000)
      .regex(/^[\x20-\x7e]*$/, 'printable ASCII only'),
  )
  .refine((given) => Object.keys(given).length <= 20, 'at most 20 headers')
  .openapi({ description: 'Sent with each request.', example: { authorization: 'Bearer …', 'x-team': 'shop' } })

export const webhookInput = z
  .strictObject({
    url,
    filter: filterInput.default({}),
    description: description.optional(),
    ordering: ordering.optional(),
    content: content.optional(),
    batchSeconds: batchSeconds.optional(),
    schedule: schedule.optional(),
    fields: fields.optional(),
    headers: headers.optional(),
    signatures: z
      .array(z.enum(['v1', 'v1a']))
      .min(1)
      .max(2)
      .default(['v1'])
      .openapi({ description: 'v1: HMAC-SHA256 with a secret that both sides know. v1a: ed25519 with a public key.' }),
    from: z.string().min(1).max(128).default('now').openapi({
      description:
        'The first event: `now`, `start` (the oldest that is kept), `state` (the current objects first, then every change after them), a cursor (what comes after it), or a time in RFC 3339.',
    }),
  })
  .openapi('WebhookInput')

export const webhookChange = z
  .strictObject({
    url: url.optional(),
    filter: filterInput.optional(),
    description: description.nullable().optional().openapi({ description: 'Null takes it away.' }),
    enabled: z.boolean().optional(),
    ordering: ordering.optional(),
    content: content.optional(),
    batchSeconds: batchSeconds.nullable().optional(),
    schedule: schedule.nullable().optional(),
    fields: fields.nullable().optional(),
    headers: headers.nullable().optional(),
  })
  .openapi('WebhookChange')

export const creationHeaders = z.object({
  'idempotency-key': z.string().min(1).max(255).optional().openapi({
    description: 'The same request with the same key within a day registers one webhook, and is answered the same.',
  }),
})

export const changeHeaders = z.object({
  'if-match': z.string().max(1000).optional().openapi({
    description: 'The `ETag` of the webhook as it was read: refuses when somebody has changed it since.',
  }),
})

export const etag = { ETag: { schema: { type: 'string' as const }, description: 'Goes into `If-Match`.' } }

export const creationQuery = z.strictObject({
  dryRun: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .openapi({ type: 'boolean', description: 'Check everything, register nothing.' }),
})

const webhookFields = {
  id: z.string().openapi({ example: 'wh_0mi3c9x1k4q8z7w2n5a' }),
  url: z.string(),
  filter: z.object(filterShape),
  description: z.string().optional(),
  enabled: z.boolean(),
  disabledReason: z.enum(disabledReasons).optional().openapi({
    description:
      'Why the relay turned it off: `gone`, it answered 410; `failing`, it took nothing for days; `forbidden`, its owner may not see what it is sent.',
  }),
  disabledAt: z.string().optional().openapi({ format: 'date-time', description: 'When it was turned off.' }),
  ordering: ordering.optional(),
  content: content.optional(),
  batchSeconds: batchSeconds.optional(),
  schedule: z.array(z.number()).optional(),
  fields: z.array(z.string()).optional(),
  headers: z.array(z.string()).optional().openapi({ description: 'Names only: their values may be secret.' }),
  failingSince: z
    .string()
    .optional()
    .openapi({ format: 'date-time', description: 'The first failure after which nothing was taken.' }),
  pausedUntil: z
    .string()
    .optional()
    .openapi({ format: 'date-time', description: 'It asked to be left alone, by 429, 502, 503 or 504.' }),
  lost: z
    .object({
      events: z.int().openapi({ description: 'How many events of the log, whether or not they pass the filter.' }),
      from: z.string().openapi({ description: 'Cursor: they came after this one …' }),
      to: z.string().openapi({ description: '… up to this one; what was seen in between is not counted.' }),
      since: z.string().openapi({ format: 'date-time', description: 'When it was noticed first.' }),
      latest: z.string().openapi({ format: 'date-time', description: 'When it was noticed last.' }),
    })
    .optional()
    .openapi({
      description:
        'What the log dropped before this webhook came to it, of all times: it was too far behind what is kept. An event `relay.endpoint.overtaken` tells of it.',
    }),
  createdAt: z.string().openapi({ format: 'date-time' }),
  start: z.string().openapi({ description: 'Cursor: events after it are sent.' }),
  startsWithState: z.literal(true).optional().openapi({ description: 'The current objects come before them.' }),
}

const told = {
  secret: z
    .string()
    .optional()
    .openapi({ description: 'Verifies signatures v1, by Standard Webhooks. Told this once.', example: 'whsec_…' }),
  publicKey: z.string().optional().openapi({ description: 'Verifies signatures v1a.', example: 'whpk_…' }),
}

/** What a rotation answers with. */
export const newKeys = z.object(told).openapi('NewKeys')

export const rotation = z
  .strictObject({
    overlap: z
      .int()
      .min(0)
      .max(30 * 24 * 3600)
      .default(24 * 3600)
      .openapi({ description: 'For how many seconds the old ones still sign beside the new ones.' }),
  })
  .openapi('Rotation')

export const keySet = z
  .object({
    keys: z.array(
      z.object({
        publicKey: z.string().openapi({ example: 'whpk_…' }),
        until: z.string().optional().openapi({ format: 'date-time', description: 'It signs no longer than this.' }),
      }),
    ),
  })
  .openapi('KeySet')

export const enabledWebhook = z
  .object({
    ...webhookFields,
    recoverSince: z.string().optional().openapi({
      format: 'date-time',
      description:
        'When it began to fail, or was turned off: what to give to `recover`, to have what ended since then sent.',
    }),
    recoverable: z.int().openapi({ description: 'How many deliveries that would send.' }),
  })
  .openapi('EnabledWebhook')

export const webhook = z.object(webhookFields).openapi('Webhook')

export const createdWebhook = z
  .object({
    ...webhookFields,
    ...told,
  })
  .openapi('CreatedWebhook')

export const rehearsal = z
  .object({
    url: webhookFields.url,
    filter: webhookFields.filter,
    start: webhookFields.start,
    history: z.object({
      since: z.string().openapi({ format: 'date-time', description: 'The beginning of what was looked at.' }),
      looked: z.int().openapi({
        description: 'How many events were looked at, of the resources and the namespaces that the filter names.',
      }),
      matched: z.int().openapi({ description: 'How many of them would have been sent.' }),
      isComplete: z.boolean().openapi({ description: 'False when there was more than one request looks at.' }),
      latest: z.array(event).openapi({ description: 'The newest of them.' }),
    }),
  })
  .openapi('Rehearsal')

export const webhookCollection = createCollection('WebhookCollection', webhook)

export const webhookQuery = z.strictObject({ limit: createLimit(100), continue: continuation })

export const webhookParams = z.object({ id: z.string().min(1).max(64) })
