import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { invalid, RelayError } from '../../shared/errors.ts'
import type { EndedTerm, LeaseData, OpenTerm } from '../../shared/lease.ts'
import type { StateReader } from '../../shared/state.ts'
import { revalidate } from '../caching.ts'
import type { AppEnv } from '../deps.ts'
import { createHolderResolver } from '../holder-hints.ts'
import { type Span, selectTerms, summarizeTerms, viewLease } from '../lease-view.ts'
import { listObjects, readHead } from '../listing.ts'
import { describeProblems, unchanged } from '../schemas/common.ts'
import { lease, leaseCollection, leaseQuery, termCollection, termQuery } from '../schemas/leases.ts'
import type { Services } from '../services.ts'
import { pageTerms } from '../term-page.ts'

/** The name under which Leases are kept. */
export const leases = 'leases.coordination.k8s.io'
const params = z.object({ namespace: z.string(), name: z.string() })

const listRoute = createRoute({
  method: 'get',
  path: '/v1/leases',
  operationId: 'listLeases',
  summary: 'List current Leases and their holders',
  tags: ['state'],
  request: { query: leaseQuery },
  responses: {
    200: { description: 'Leases.', content: { 'application/json': { schema: leaseCollection } } },
    304: unchanged,
    ...describeProblems(400, 503),
  },
})

const getRoute = createRoute({
  method: 'get',
  path: '/v1/leases/{namespace}/{name}',
  operationId: 'getLease',
  summary: 'Read who holds a Lease, since when and until when',
  tags: ['state'],
  request: { params },
  responses: {
    200: { description: 'The Lease.', content: { 'application/json': { schema: lease } } },
    304: unchanged,
    ...describeProblems(404, 503),
  },
})

const holdersRoute = createRoute({
  method: 'get',
  path: '/v1/leases/{namespace}/{name}/holders',
  operationId: 'listHolders',
  summary: 'List who held a Lease, newest first',
  description: 'The present term comes first, without `to` and `ended`. The terms of a deleted Lease stay readable.',
  tags: ['state'],
  request: { params, query: termQuery },
  responses: {
    200: { description: 'Terms.', content: { 'application/json': { schema: termCollection } } },
    304: unchanged,
    ...describeProblems(400, 404, 503),
  },
})

/** `GET /v1/leases`: who holds what, and who did. */
export function mountLeases(app: OpenAPIHono<AppEnv>, services: Services): void {
  const { state, reader, now } = services
  const resolveHolders = createHolderResolver(services)
  app.use('/v1/leases/*', ...revalidate)
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query')
    const holders = query.holder === undefined ? undefined : new Set(query.holder)
    const accepts = ({ holder, expired }: LeaseData) =>
      (holders?.has(holder ?? '') ?? true) && (query.expired === undefined || query.expired === expired)
    const keys = await findHeld(state, query.holder)
    const { items, ...rest } = await listObjects<LeaseData>(services, leases, query, accepts, keys)
    const hints = await resolveHolders(c.get('caller'), items)
    return c.json({ items: items.map((item, index) => ({ ...viewLease(item), ...hints[index] })), ...rest }, 200)
  })
  app.openapi(getRoute, async (c) => {
    const { namespace, name } = c.req.valid('param')
    const found = await state.get<LeaseData>(leases, namespace, name)
    if (found === undefined) throw new RelayError('not_found', `There is no Lease ${namespace}/${name}.`)
    const [hints] = await resolveHolders(c.get('caller'), [found.data])
    return c.json({ ...viewLease(found.data), ...hints }, 200)
  })
  app.openapi(holdersRoute, async (c) => {
    const { namespace, name } = c.req.valid('param')
    const query = c.req.valid('query')
    const cursor = await readHead(reader)
    const [found, ended] = await Promise.all([
      state.get<LeaseData>(leases, namespace, name),
      state.terms<EndedTerm>(namespace, name),
    ])
    if (found === undefined && ended.length === 0) {
      throw new RelayError('not_found', `There is and was no Lease ${namespace}/${name}.`)
    }
    const span = readSpan(query)
    const present = found?.data.term
    const terms = selectTerms<OpenTerm | EndedTerm>(
      [...(present ? [present] : []), ...ended.map(({ term }) => term)],
      span,
    )
    // In whole seconds, so that a cache that asks again within one finds nothing new.
    const second = Math.floor(now().getTime() / 1000) * 1000
    const summary = summarizeTerms(terms, found?.data.leaderlessSince, span, second)
    return c.json({ ...pageTerms(present, ended, { ...query, ...span }), summary, cursor }, 200)
  })
}

/** So many identities are looked up one by one. */
const mostIdentities = 20
const mostHeld = 1_000

/**
 * The keys of all Leases that these identities may hold: of their running terms, and of the last that they had, since a Lease
 * that expired still names its holder. Undefined where only a look at every Lease can tell.
 */
async function findHeld(state: StateReader, holders: readonly string[] | undefined): Promise<string[] | undefined> {
  if (holders === undefined || holders.includes('') || holders.length > mostIdentities) return undefined
  const found = await Promise.all(
    holders.map(async (holder) => {
      const [held, had] = await Promise.all([state.holds(holder, mostHeld), state.heldTerms<EndedTerm>(holder)])
      return [...held, ...had.map(({ term: { namespace, name } }) => `${namespace}/${name}`)]
    }),
  )
  return found.some((keys) => keys.length >= mostHeld) ? undefined : found.flat()
}

/**
 * A span of all time, or what of it was asked for.
 * @throws RelayError `invalid` for one that ends before it begins.
 */
export function readSpan(query: { since?: string | undefined; until?: string | undefined }): Span {
  const since = query.since === undefined ? Number.NEGATIVE_INFINITY : Date.parse(query.since)
  const until = query.until === undefined ? Number.POSITIVE_INFINITY : Date.parse(query.until)
  if (until < since) throw invalid('until', 'lies before `since`')
  return { since, until }
}
