import { z } from '@hono/zod-openapi'
import { attemptErrors, deliveryStates } from '../../shared/webhook/delivery.ts'
import { continuation, createCollection } from '../schemas/common.ts'
import { filterInput } from './schemas.ts'
import { verdicts } from './verdict.ts'

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

export const delivery = z
  .object({
    id: z.string(),
    eventId: z.string(),
    state: z.enum(deliveryStates),
    reason: z.enum(['exhausted', 'trimmed']).optional(),
    object: z.string().optional().openapi({ description: 'Where order is kept: whose line it waits in.' }),
    repeats: z.string().optional().openapi({ description: 'The delivery that this one repeats.' }),
    scope: z.enum(['entered', 'left']).optional(),
    acceptedAt: z.string().openapi({ format: 'date-time' }),
    endedAt: z.string().optional().openapi({ format: 'date-time' }),
    nextAttemptAt: z.string().optional().openapi({ format: 'date-time' }),
    attempts: z.array(attempt),
  })
  .openapi('Delivery')

export const deliveryCollection = createCollection('DeliveryCollection', delivery)

const moment = z.iso.datetime({ offset: true, error: 'must be a time such as 2026-01-31T12:00:00Z' })

export const deliveryQuery = z.strictObject({
  state: z.enum(deliveryStates).optional().openapi({ description: 'Only deliveries in this state.' }),
  since: moment.optional().openapi({ description: 'Only what was accepted at this time or later.' }),
  until: moment.optional().openapi({ description: 'Only what was accepted before this time.' }),
  status: z
    .union([z.coerce.number().int().min(100).max(599), z.enum(attemptErrors)])
    .optional()
    .openapi({ type: 'string', description: 'How the last attempt went: an HTTP status, or a class of error.' }),
  event: z.string().optional().openapi({ description: 'Only deliveries of the event with this id.' }),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(200)
    .default(50)
    .openapi({ type: 'integer', minimum: 1, maximum: 200, default: 50, description: 'How many at most.' }),
  continue: continuation,
})

export const deliveryParams = z.object({ id: z.string().min(1).max(64), delivery: z.string().min(1).max(64) })

export const replayInput = z
  .strictObject({
    from: z.string().min(1).max(128).openapi({ description: '`start`, a cursor (what comes after it), or a time.' }),
    to: z.string().min(1).max(128).optional().openapi({ description: 'A cursor or a time; absent: now.' }),
    filter: filterInput.optional().openapi({ description: "Instead of the webhook's own." }),
    errors: z
      .array(z.enum(attemptErrors))
      .min(1)
      .optional()
      .openapi({ description: 'Only what failed, and in its last attempt like this; not together with `filter`.' }),
  })
  .openapi('ReplayInput')

export const recoverQuery = z.strictObject({
  since: moment.openapi({ description: 'What ended at this time or later.' }),
})

export const explainQuery = z.strictObject({
  event: z
    .string()
    .min(1)
    .max(512)
    .openapi({ description: 'The id or the cursor of an event, or the id of a delivery.' }),
})

export const explanation = z
  .object({
    event: z.string(),
    verdict: z.enum(verdicts).openapi({ description: 'The state of its delivery, or why there is none.' }),
    detail: z.string().openapi({ description: 'The same in words, for people.' }),
    clauses: z
      .array(z.object({ clause: z.string(), passes: z.boolean() }))
      .optional()
      .openapi({
        description: 'What each clause of the filter says of the event; absent when the log no longer has it.',
      }),
    deliveries: z.array(delivery).openapi({ description: 'Of this event, those sent again included; newest first.' }),
  })
  .openapi('Explanation')

export const task = z
  .object({
    id: z.string(),
    kind: z.enum(['replay', 'recover']),
    state: z.enum(['running', 'done', 'cancelled']),
    createdAt: z.string().openapi({ format: 'date-time' }),
    looked: z.int().openapi({ description: 'How many events or deliveries it has looked at.' }),
    accepted: z.int().openapi({ description: 'How many deliveries it has added.' }),
  })
  .openapi('Task')

export const taskList = z.object({ items: z.array(task) }).openapi('TaskList')

export const taskParams = z.object({ id: z.string().min(1).max(64), task: z.string().min(1).max(64) })

export const verification = z
  .object({
    accepted: z.int(),
    pending: z.int(),
    delivered: z.int(),
    dead: z.int(),
    disabled: z.int(),
    skipped: z.int(),
    superseded: z.int(),
    isBalanced: z.boolean().openapi({ description: 'Each accepted delivery is pending or has exactly one end.' }),
    told: z.int().openapi({ description: 'How many current objects were accepted before the events.' }),
    from: z.string().openapi({ description: 'Cursor: the events after this one were compared with the ledger …' }),
    to: z.string().openapi({ description: '… up to this one.' }),
    events: z.int().openapi({ description: 'How many events lie between.' }),
    matched: z.int().openapi({ description: 'How many of them pass the filter.' }),
    missing: z.array(z.string()).openapi({
      description: 'Cursors of those that were not accepted, and ids of deliveries that are gone; at most 100.',
    }),
  })
  .openapi('Verification')
