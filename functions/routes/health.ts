import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { toRecord } from '../../shared/redis.ts'
import { nameFeed, type WatchedResource } from '../../shared/resource.ts'
import type { Identify } from '../auth/guard.ts'
import { maySeeAll } from '../auth/webhook-rights.ts'
import type { AppEnv } from '../deps.ts'
import type { Services } from '../services.ts'

const age = z.number().optional()

const feed = z.object({
  state: z.string().openapi({ example: 'synced' }),
  reason: z.string().optional(),
  at: z.string().openapi({ format: 'date-time', description: 'When the watcher said so.' }),
  vitals: z
    .object({
      eventAge: age.openapi({ description: 'Seconds since the last change.' }),
      bookmarkAge: age.openapi({ description: 'Seconds since the last bookmark.' }),
      cursorAge: age.openapi({ description: 'Seconds since the stored cursor moved.' }),
      relists: z.int().openapi({ description: 'Snapshots taken since this watcher writes the feed.' }),
      gaps: z.int().openapi({ description: 'Gaps announced since then.' }),
      lag: z.number().openapi({ description: 'Seconds that changes wait to be stored.' }),
      alarm: z.literal('lag').optional().openapi({ description: 'The lag nears what the API server keeps.' }),
    })
    .optional()
    .openapi({ description: 'As of `at`.' }),
})

const readiness = z
  .object({
    ready: z.boolean(),
    reasons: z.array(z.string()).openapi({ description: 'Why not; empty when ready.' }),
    streams: z.int().openapi({ description: 'Open streams of this process.' }),
    feeds: z
      .record(z.string(), feed)
      .openapi({ description: 'Per watched collection, what the watcher says of it; to who may see everything.' }),
  })
  .openapi('Readiness')

type Readiness = z.infer<typeof readiness>
type Feeds = Readiness['feeds']

const healthRoute = createRoute({
  method: 'get',
  path: '/healthz',
  operationId: 'getHealth',
  security: [],
  summary: 'Tell that the process runs',
  tags: ['operation'],
  responses: {
    200: {
      description: 'It runs.',
      content: { 'application/json': { schema: z.object({ status: z.literal('ok') }) } },
    },
  },
})

const readyRoute = createRoute({
  method: 'get',
  path: '/readyz',
  operationId: 'getReadiness',
  security: [],
  summary: 'Tell whether answers are complete and fresh',
  tags: ['operation'],
  responses: {
    200: { description: 'Ready.', content: { 'application/json': { schema: readiness } } },
    503: { description: 'Not ready, and why.', content: { 'application/json': { schema: readiness } } },
  },
})

/** A watcher that says nothing for this long is taken for dead, in ms. */
const silence = 30_000
/** How long Redis may take to answer before it counts as unreachable, in ms. */
const patience = 2_000

/** `/healthz` and `/readyz`. */
export function mountHealth(app: OpenAPIHono<AppEnv>, services: Services, identify: Identify): void {
  const { authenticator, log } = services
  /** Names of feeds tell what is watched. Probes send no credential, and look at nothing but the status. */
  const isToldAll = async (c: Context<AppEnv>) => {
    if (!authenticator.isNeeded) return true
    try {
      return await maySeeAll(authenticator, await identify(c), {})
    } catch (error) {
      log.debug({ err: error }, 'readiness is asked for by somebody unknown')
      return false
    }
  }

  app.openapi(healthRoute, (c) => c.json({ status: 'ok' as const }, 200))
  app.openapi(readyRoute, async (c) => {
    const feeds = await readFeeds(services)
    const now = services.now().getTime()
    const reasons =
      feeds === undefined ? ['Redis cannot be reached.'] : services.resources.flatMap(checkFeed(feeds, now))
    const streams = services.hub.stats().subscribers
    const isReady = reasons.length === 0
    const told = (await isToldAll(c))
      ? { reasons, feeds: feeds ?? {} }
      : { reasons: isReady ? [] : ['Why is told to who may see everything.'], feeds: {} }
    return c.json({ ready: isReady, ...told, streams }, isReady ? 200 : 503)
  })
}

/** What the watchers say of their feeds; undefined when Redis cannot be reached. */
export async function readFeeds({ redis, keys, log }: Services): Promise<Feeds | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, patience, undefined)
  })
  try {
    const answer = await Promise.race([redis.call('HGETALL', keys.own('status')), timeout])
    if (answer === undefined) return undefined
    const fields = Object.entries(toRecord(answer))
    return Object.fromEntries(fields.map(([id, text]) => [id, feed.parse(JSON.parse(text))]))
  } catch (error) {
    log.debug({ err: error }, 'readiness cannot be read')
    return undefined
  } finally {
    clearTimeout(timer)
  }
}

/** Says what keeps a feed from being ready; nothing when it is. */
function checkFeed(feeds: Feeds, now: number): (watched: WatchedResource) => string[] {
  return (watched) => {
    const id = nameFeed(watched)
    const status = feeds[id]
    if (status === undefined) return [`${id}: no watcher has reported yet.`]
    const age = now - Date.parse(status.at)
    if (!(age <= silence)) return [`${id}: the watcher has been silent for ${Math.round(age / 1000)} s.`]
    const { state, reason } = status
    return state === 'synced' ? [] : [`${id}: ${state}${reason === undefined ? '' : `, ${reason}`}.`]
  }
}
