import { z } from '@hono/zod-openapi'
import { suggest } from '../../shared/config/suggest.ts'

/** Several values: a repeated parameter, or a list with commas. */
const values = z
  .union([z.string(), z.array(z.string())])
  .transform((value) => (Array.isArray(value) ? value.flatMap((item) => item.split(',')) : value.split(',')))
  .optional()

/** The same with words for the documentation. */
export function describeValues(description: string, example?: string) {
  return values.openapi({
    type: 'array',
    items: { type: 'string' },
    description,
    ...(example === undefined ? {} : { example: [example] }),
  })
}

/** A parameter that is one text. */
export function createText(most: number) {
  return z.string({ error: 'must be given once' }).max(most, `at most ${most} characters`)
}

/** A parameter that is a whole number. */
export function createNumber({ least, most, standard }: { least: number; most: number; standard: number }) {
  const message = `must be a whole number from ${least} to ${most}, given once`
  return z
    .string({ error: message })
    .regex(/^\d{1,9}$/, message)
    .transform(Number)
    .refine((value) => value >= least && value <= most, message)
    .default(standard)
    .openapi({ type: 'integer', minimum: least, maximum: most, default: standard })
}

/** How many items at most. */
export function createLimit(standard: number) {
  return createNumber({ least: 1, most: 1000, standard }).openapi({ description: 'How many at most.' })
}

/** The parameters of a query. Others are refused, with the one that may have been meant. */
export function createQuery<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape)
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? refuseName(issue.keys[0] ?? '', known) : undefined),
  })
}

function refuseName(name: string, known: readonly string[]): string {
  if (/^(access_?)?token$|^api_?key$/i.test(name))
    return 'no such parameter; a credential goes into the header Authorization'
  if (/^last-?event-?id$/i.test(name)) return 'no such parameter; a cursor goes into from, or the header Last-Event-ID'
  return `no such parameter; there are ${known.join(', ')}.${suggest(name.replace(/\[.*$/, ''), known)}`
}

export const labelSelector = createText(4096)
  .optional()
  .openapi({ description: "A selector in Kubernetes' syntax.", example: 'app=web,tier!=db' })

export const cursor = z.string().openapi({
  description:
    'A place in the event log. Opaque, and sealed: one that the relay did not give is refused, and so is one of another filter, unless that had only clauses which the present one has too. Goes into `from` or `Last-Event-ID`.',
  example: 'k3v9x0q2zt-5yc-7t0ehv2n',
})

const owner = z.object({ kind: z.string(), name: z.string(), uid: z.string() })

/** What every object has. */
export const objectFields = {
  namespace: z.string(),
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string(),
  labels: z.record(z.string(), z.string()),
  owner: owner.optional(),
}

const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    field: z.string().optional().openapi({ description: 'The parameter, header or JSON path at fault.' }),
    oldest: z.string().optional().openapi({ description: 'With 410: the oldest cursor that can be read from.' }),
  })
  .openapi('Problem', { description: 'RFC 9457.' })

/** The refusals that a route documents. */
export function describeProblems(...statuses: number[]) {
  const meanings: Readonly<Record<number, string>> = {
    400: 'A parameter is not valid; `field` names it.',
    401: 'The credential is missing, not valid, or no longer.',
    403: 'The credential does not allow it.',
    404: 'There is no such object.',
    409: 'In conflict with the present state; `detail` says with what.',
    406: 'None of the formats in `Accept` is to be had.',
    412: 'It was changed since the `ETag` in `If-Match` was given.',
    410: 'The events after this cursor are no longer kept; `oldest` is where reading can begin.',
    413: 'The body is too long.',
    415: 'The body has to be `application/json`.',
    422: 'The request asks for more than it may cost.',
    429: 'Too many; `Retry-After` says when to try again.',
    503: 'Not available at the moment; `Retry-After` says when to try again.',
  }
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: meanings[status] ?? '', content: { 'application/problem+json': { schema: problem } } },
    ]),
  )
}

/** A page of current objects. */
export function createCollection<Item extends z.ZodType>(name: string, item: Item) {
  return z
    .object({
      items: z.array(item),
      cursor: cursor.openapi({
        description: 'Read events from here to learn what changed since; the same on all pages.',
      }),
      next: z.string().optional().openapi({ description: 'Goes into `continue`; absent on the last page.' }),
    })
    .openapi(name)
}

export const continuation = createText(4096).optional().openapi({ description: 'The `next` of the page before.' })

/** The answer to a condition that holds. */
export const unchanged = { description: 'Not modified since the version that `If-None-Match` names.' }

/** A filter as it was given. A record of zod's would leave `__proto__` out without a word, and a clause less lets more through. */
export const filterObject = z.custom<Record<string, unknown>>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'must be an object, such as {"phase": ["Failed"]}',
)
