import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { RelayError } from '../../shared/errors.ts'
import { revalidate } from '../caching.ts'
import type { AppEnv } from '../deps.ts'
import { listObjects } from '../listing.ts'
import { describeProblems, unchanged } from '../schemas/common.ts'
import { type Pod, pod, podCollection, podQuery } from '../schemas/pods.ts'
import type { Services } from '../services.ts'

const listRoute = createRoute({
  method: 'get',
  path: '/v1/pods',
  operationId: 'listPods',
  summary: 'List current Pods',
  tags: ['state'],
  request: { query: podQuery },
  responses: {
    200: { description: 'Pods.', content: { 'application/json': { schema: podCollection } } },
    304: unchanged,
    ...describeProblems(400, 503),
  },
})

const getRoute = createRoute({
  method: 'get',
  path: '/v1/pods/{namespace}/{name}',
  operationId: 'getPod',
  summary: 'Read one current Pod',
  tags: ['state'],
  request: { params: z.object({ namespace: z.string(), name: z.string() }) },
  responses: {
    200: { description: 'The Pod.', content: { 'application/json': { schema: pod } } },
    304: unchanged,
    ...describeProblems(404, 503),
  },
})

/** `GET /v1/pods`: which Pods there are now. */
export function mountPods(app: OpenAPIHono<AppEnv>, services: Services): void {
  app.use('/v1/pods/*', ...revalidate)
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query')
    const phases = query.phase === undefined ? undefined : new Set(query.phase)
    return c.json(await listObjects<Pod>(services, 'pods', query, (data) => phases?.has(data.phase) ?? true), 200)
  })
  app.openapi(getRoute, async (c) => {
    const { namespace, name } = c.req.valid('param')
    const found = await services.state.get<Pod>('pods', namespace, name)
    if (found === undefined) throw new RelayError('not_found', `There is no Pod ${namespace}/${name}.`)
    return c.json(found.data, 200)
  })
}
