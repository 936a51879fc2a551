import { z } from '@hono/zod-openapi'
import {
  continuation,
  createCollection,
  createLimit,
  cursor,
  describeValues,
  labelSelector,
  objectFields,
} from './common.ts'

const term = z
  .object({
    holder: z.string(),
    from: z.string().openapi({ format: 'date-time' }),
    to: z.string().optional().openapi({ format: 'date-time', description: 'Absent for the present term.' }),
    began: z.enum(['acquired', 'transferred', 'reacquired', 'observed']),
    ended: z.enum(['released', 'transferred', 'expired', 'deleted']).optional(),
    transitions: z.int().optional(),
    leaderlessSeconds: z.number().optional().openapi({ description: 'How long nobody held the Lease before.' }),
    renewals: z.int(),
  })
  .openapi('Term')

export const lease = z
  .object({
    ...objectFields,
    holder: z.string().nullable(),
    since: z.string().optional().openapi({ format: 'date-time', description: "When the present holder's term began." }),
    expires: z.string().optional().openapi({
      format: 'date-time',
      description: "The last renewal that the relay saw, by the relay's clock, and the duration.",
    }),
    expired: z.boolean(),
    durationSeconds: z.number().optional(),
    acquireTime: z.string().optional().openapi({ description: "By the holder's clock." }),
    renewTime: z.string().optional().openapi({ description: "By the holder's clock." }),
    renewed: z.string().optional().openapi({ format: 'date-time', description: "By the relay's clock." }),
    transitions: z.int().optional(),
    strategy: z.string().optional(),
    preferredHolder: z.string().optional(),
    previousHolder: z.string().optional(),
    leaderlessSince: z.string().optional(),
    term: term.optional(),
  })
  .openapi('Lease')

export const leaseCollection = createCollection('LeaseCollection', lease)

export const leaseQuery = z.strictObject({
  namespace: describeValues('Namespaces.'),
  name: describeValues('Names.'),
  holder: describeValues('Identities that hold the Lease now.'),
  labelSelector,
  limit: createLimit(500),
  continue: continuation,
})

export const termCollection = z.object({ items: z.array(term), cursor }).openapi('TermCollection')

const moment = z.iso.datetime({ offset: true }).optional()

export const termQuery = z.strictObject({
  limit: createLimit(50),
  since: moment.openapi({ description: 'Only terms that lasted beyond this time.' }),
  until: moment.openapi({ description: 'Only terms that began before this time.' }),
})
