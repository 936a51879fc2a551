import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { RelayError } from '../../shared/errors.ts'
import { createHealthStore } from '../../shared/webhook/health.ts'
import { createLossReader } from '../../shared/webhook/loss.ts'
import { createDeliveryMetrics } from '../../shared/webhook/metrics.ts'
import { createWebhookStore } from '../../shared/webhook/store.ts'
import { requireAction } from '../auth/guard.ts'
import { maySeeAll } from '../auth/webhook-rights.ts'
import type { AppEnv } from '../deps.ts'
import { measureDeliveries } from '../metrics/deliveries.ts'
import { expositionType, type Family, writeExposition } from '../metrics/exposition.ts'
import { measureFeeds } from '../metrics/feeds.ts'
import { measureStreams } from '../metrics/streams.ts'
import { describeProblems } from '../schemas/common.ts'
import type { Services } from '../services.ts'
import { readFeeds } from './health.ts'

const route = createRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  summary: 'Metrics of all roles, as Prometheus reads them',
  description: 'For callers who may see everything.',
  tags: ['operation'],
  responses: {
    200: {
      description: "Prometheus' text format 0.0.4.",
      content: { 'text/plain': { schema: z.string() } },
    },
    ...describeProblems(401, 403, 503),
  },
})

/** `/metrics`: what is in Redis is told for all processes, open streams for this one. */
export function mountMetrics(app: OpenAPIHono<AppEnv>, services: Services): void {
  const { redis, keys, reader, hub, authenticator } = services
  const deps = {
    store: createWebhookStore(redis, keys),
    health: createHealthStore(redis, keys),
    losses: createLossReader(redis, keys),
    metrics: createDeliveryMetrics(redis, keys),
  }
  const requireEverything = async (c: Context<AppEnv>) => {
    if (!authenticator.isNeeded) return
    const caller = c.get('caller')
    requireAction(caller, 'read')
    if (await maySeeAll(authenticator, caller, {})) return
    throw new RelayError('forbidden', 'Metrics are for who may see everything.')
  }

  app.openapi(route, async (c) => {
    await requireEverything(c)
    const now = services.now().getTime()
    const [deliveries, feeds, bounds, dispatched, length] = await Promise.all([
      measureDeliveries(deps, now),
      readFeeds(services),
      reader.bounds(),
      deps.metrics.dispatched(),
      redis.call('XLEN', keys.log),
    ])
    const { first, last } = bounds
    const families = [
      ...measureFeeds(feeds ?? {}, now),
      single('relay_log_events_total', 'counter', 'Events that were ever appended to the log.', last),
      single('relay_log_entries', 'gauge', 'Events that the log keeps.', Number(length)),
      single('relay_log_first_sequence', 'gauge', 'The number of the oldest event that is kept.', first),
      single('relay_dispatch_behind_events', 'gauge', 'Events that were not matched yet.', last - (dispatched ?? last)),
      ...measureStreams(hub.counts, hub.stats().subscribers),
      ...deliveries,
    ]
    return c.text(writeExposition(families), 200, { 'content-type': expositionType })
  })
}

function single(name: string, type: 'counter' | 'gauge', help: string, value: number): Family {
  return { name, type, help, samples: [{ value }] }
}
