import { z } from '@hono/zod-openapi'
import {
  continuation,
  createCollection,
  createLimit,
  createQuery,
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
    began: z.enum(['acquired', 'transferred', 'reacquired', 'observed']).openapi({
      description: '`observed`: it was running when the relay first saw the Lease.',
    }),
    ended: z.enum(['released', 'transferred', 'expired', 'deleted', 'unseen']).optional().openapi({
      description: "`unseen`: between two versions that the relay saw, by the Lease's own counter.",
    }),
    namespace: z.string().optional().openapi({ description: "With `name`, the Lease's; of ended terms." }),
    name: z.string().optional(),
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
    expires: z
      .string()
      .optional()
      .openapi({
        format: 'date-time',
        description:
          "The last renewal that the relay saw, by the relay's clock, and the duration. In the past while `expired` is " +
          'false: the relay has not been able to confirm that nobody renewed it.',
      }),
    expired: z.boolean().openapi({ description: 'The relay saw the duration pass without a renewal, and asked.' }),
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
    holderPod: z.object({ namespace: z.string(), name: z.string(), node: z.string().optional() }).optional().openapi({
      description:
        'The known Pod that the identity is named after, such as `<pod>_<uuid>`; in another namespace where only one has the name.',
    }),
    holderNode: z.string().optional().openapi({ description: 'The node of that Pod, or that the identity names.' }),
  })
  .openapi('Lease')

export const leaseCollection = createCollection('LeaseCollection', lease)

export const leaseQuery = createQuery({
  namespace: describeValues('Namespaces, also as `team-*` or `!kube-*`.'),
  name: describeValues('Names, in the same way.'),
  holder: describeValues('Identities that hold the Lease now; an empty one: nobody does.'),
  expired: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional()
    .openapi({ type: 'boolean', description: 'Only those that did expire, or did not.' }),
  labelSelector,
  limit: createLimit(500),
  continue: continuation,
})

const summary = z
  .object({
    terms: z.int(),
    holders: z.int().openapi({ description: 'Different identities among them.' }),
    flaps: z.int().openapi({ description: 'Terms that were over in less than a minute.' }),
    leaderlessSeconds: z.number().openapi({ description: 'How long nobody held the Lease.' }),
    longestTerm: z
      .object({ holder: z.string(), from: z.string(), to: z.string().optional(), seconds: z.number() })
      .optional(),
  })
  .openapi('TermSummary', { description: 'Of all terms that are kept and asked for, not only of this page.' })

const next = z.string().optional().openapi({ description: 'Goes into `continue`; absent on the last page.' })

export const termCollection = z.object({ items: z.array(term), next, summary, cursor }).openapi('TermCollection')

export const holder = z
  .object({
    identity: z.string(),
    holds: z.array(lease).openapi({ description: 'What it holds now.' }),
    held: z.array(term).openapi({ description: 'Its terms that are over, newest first.' }),
    next,
    cursor,
  })
  .openapi('Holder')

/** An unescaped plus sign in a query arrives as a space. */
const moment = z
  .string()
  .transform((text) => text.replace(' ', '+'))
  .pipe(z.iso.datetime({ offset: true, error: 'must be a time, such as 2026-01-31T12:00:00Z' }))
  .optional()

export const termQuery = createQuery({
  limit: createLimit(50),
  continue: continuation,
  since: moment.openapi({
    type: 'string',
    format: 'date-time',
    description: 'Only terms that lasted beyond this time.',
  }),
  until: moment.openapi({
    type: 'string',
    format: 'date-time',
    description: 'Only terms that began before this time.',
  }),
})
