import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { RelayError } from '../../shared/errors.ts'
import type { EndedTerm, LeaseData } from '../../shared/lease.ts'
import { revalidate } from '../caching.ts'
import type { AppEnv } from '../deps.ts'
import { createHolderResolver } from '../holder-hints.ts'
import { viewLease } from '../lease-view.ts'
import { readHead } from '../listing.ts'
import { describeProblems, unchanged } from '../schemas/common.ts'
import { holder, termQuery } from '../schemas/leases.ts'
import type { Services } from '../services.ts'
import { pageTerms } from '../term-page.ts'
import { leases, readSpan } from './leases.ts'

const holderRoute = createRoute({
  method: 'get',
  path: '/v1/holders/{identity}',
  operationId: 'getHolder',
  summary: 'Read which Leases an identity holds, and which it held',
  tags: ['state'],
  request: { params: z.object({ identity: z.string() }), query: termQuery },
  responses: {
    200: { description: 'What it holds and held.', content: { 'application/json': { schema: holder } } },
    304: unchanged,
    ...describeProblems(400, 404, 503),
  },
})

/** One identity holds few Leases; more than this are not told. */
const holdsLimit = 1_000

/** `GET /v1/holders/{identity}`: what one identity holds and held. */
export function mountHolders(app: OpenAPIHono<AppEnv>, services: Services): void {
  const { state, reader } = services
  const resolveHolders = createHolderResolver(services)
  app.use('/v1/holders/*', ...revalidate)
  app.openapi(holderRoute, async (c) => {
    const { identity } = c.req.valid('param')
    const query = c.req.valid('query')
    const cursor = await readHead(reader)
    const [keys, ended] = await Promise.all([state.holds(identity, holdsLimit), state.heldTerms<EndedTerm>(identity)])
    if (keys.length === 0 && ended.length === 0) {
      throw new RelayError('not_found', `${JSON.stringify(identity)} holds no Lease, and held none that is remembered.`)
    }
    const held = (await state.find<LeaseData>(leases, keys)).map(({ data }) => data)
    const hints = await resolveHolders(c.get('caller'), held)
    const holds = held.map((data, index) => ({ ...viewLease(data), ...hints[index] }))
    const { items, next } = pageTerms(undefined, ended, { ...query, ...readSpan(query) })
    return c.json({ identity, holds, held: items, ...(next === undefined ? {} : { next }), cursor }, 200)
  })
}
