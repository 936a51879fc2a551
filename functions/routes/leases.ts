import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { RelayError } from '../../shared/errors.ts'
import type { EndedTerm, LeaseData } from '../../shared/lease.ts'
import type { AppEnv } from '../deps.ts'
import { selectTerms, viewLease } from '../lease-view.ts'
import { listObjects, readHead } from '../listing.ts'
import { describeProblems } from '../schemas/common.ts'
import { lease, leaseCollection, leaseQuery, termCollection, termQuery } from '../schemas/leases.ts'
import type { Services } from '../services.ts'

/** The name under which Leases are kept. */
const leases = 'leases.coordination.k8s.io'
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
    ...describeProblems(400, 404, 503),
  },
})

/** How many ended terms are searched for a span of time; the writer keeps no more of them. */
const searchedTerms = 1_000

/** `GET /v1/leases`: who holds what, and who did. */
export function mountLeases(app: OpenAPIHono<AppEnv>, services: Services): void {
  const { state, reader, now } = services
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query')
    const holders = query.holder === undefined ? undefined : new Set<string | null>(query.holder)
    const accepts = ({ holder }: LeaseData) => holders?.has(holder) ?? true
    const { items, ...rest } = await listObjects<LeaseData>(services, leases, query, accepts)
    const time = now().getTime()
    return c.json({ items: items.map((item) => viewLease(item, time)), ...rest }, 200)
  })
  app.openapi(getRoute, async (c) => {
    const { namespace, name } = c.req.valid('param')
    const found = await state.get<LeaseData>(leases, namespace, name)
    if (found === undefined) throw new RelayError('not_found', `There is no Lease ${namespace}/${name}.`)
    return c.json(viewLease(found.data, now().getTime()), 200)
  })
  app.openapi(holdersRoute, async (c) => {
    const { namespace, name } = c.req.valid('param')
    const { limit, since, until } = c.req.valid('query')
    const cursor = await readHead(reader)
    const isSpan = since !== undefined || until !== undefined
    const [found, ended] = await Promise.all([
      state.get<LeaseData>(leases, namespace, name),
      state.terms<EndedTerm>(namespace, name, isSpan ? searchedTerms : limit),
    ])
    if (found === undefined && ended.length === 0) {
      throw new RelayError('not_found', `There is and was no Lease ${namespace}/${name}.`)
    }
    const span = {
      limit,
      ...(since === undefined ? {} : { since: Date.parse(since) }),
      ...(until === undefined ? {} : { until: Date.parse(until) }),
    }
    return c.json({ items: selectTerms(found?.data.term, ended, span), cursor }, 200)
  })
}
