import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { secureHeaders } from 'hono/secure-headers'
import { invalid } from '../shared/errors.ts'
import { createKeys } from '../shared/keys.ts'
import { createLogReader } from '../shared/log/reader.ts'
import { createStateReader } from '../shared/state.ts'
import type { AppDeps, AppEnv } from './deps.ts'
import { defaultLimits } from './limits.ts'
import {
  answerMethodNotAllowed,
  answerNotFound,
  catchOddities,
  createErrorHandler,
  hideFailures,
  neverStore,
  refuseBody,
} from './problem.ts'
import { mountEvents } from './routes/events.ts'
import { mountHealth } from './routes/health.ts'
import { mountHolders } from './routes/holders.ts'
import { mountLeases } from './routes/leases.ts'
import { mountPage } from './routes/page.ts'
import { mountPods } from './routes/pods.ts'
import type { Services } from './services.ts'
import { createHub, type HubStats } from './streams/hub.ts'
import { createWebhookRoutes } from './webhooks.ts'

/** The HTTP functions of one cluster. */
export interface App {
  /** Answers requests; an entry passes each with its `Bindings`. */
  readonly hono: OpenAPIHono<AppEnv>
  /** Refuses new streams and ends the open ones within `limits.drain`. */
  drain(): Promise<void>
  stats(): HubStats
}

const info = {
  title: 'kube-watch-relay',
  version: '0.1.0',
  description: 'What changes inside a Kubernetes cluster, told outside: streams, pages, current state and webhooks.',
}

const documentRoute = createRoute({
  method: 'get',
  path: '/openapi.json',
  operationId: 'getDocument',
  summary: 'This description',
  tags: ['operation'],
  responses: {
    200: {
      description: 'OpenAPI 3.1.',
      content: { 'application/json': { schema: z.record(z.string(), z.unknown()) } },
    },
  },
})

/**
 * Creates the functions. Nothing is connected or read before the first request.
 * @example
 * const app = createApp({ cluster, redis, connect, log, resources: parseResources('pods,leases'), webhooks })
 * serve({ fetch: (request) => app.hono.fetch(request, {}) })
 */
export function createApp(deps: AppDeps): App {
  const { cluster, connect, log, resources, now = () => new Date() } = deps
  const limits = { ...defaultLimits, ...deps.limits }
  const keys = createKeys(cluster)
  const redis = hideFailures(deps.redis, log)
  const reader = createLogReader(redis, keys)
  const hub = createHub({ connect, reader, keys, log, limits })
  const state = createStateReader(redis, keys)
  const services: Services = { cluster, resources, redis, keys, reader, state, hub, log, limits, now }

  const app = new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw toInvalid(result.error)
    },
  })
  app.use(catchOddities)
  app.use(protect)
  app.use(neverStore)
  app.use(methodNotAllowed({ app, onMethodNotAllowed: answerMethodNotAllowed }))
  app.use(bodyLimit({ maxSize: limits.body, onError: () => refuseBody(limits.body) }))
  app.notFound(answerNotFound)
  app.onError(createErrorHandler(log))

  mountEvents(app, services)
  mountPods(app, services)
  mountLeases(app, services)
  mountHolders(app, services)
  app.route('/v1/webhooks', createWebhookRoutes({ redis, keys, now, ...deps.webhooks }))
  mountHealth(app, services)
  mountPage(app, deps.page)
  mountDocument(app)

  return { hono: app, drain: () => hub.drain(), stats: () => hub.stats() }
}

function mountDocument(app: OpenAPIHono<AppEnv>): void {
  let document: Record<string, unknown> | undefined
  app.openapi(documentRoute, (c) => {
    document ??= { ...app.getOpenAPI31Document({ openapi: '3.1.0', info }) }
    return c.json(document, 200)
  })
}

/** The page loads nothing from elsewhere and is framed by nobody; answers are never taken for something that they are not. */
const protect = secureHeaders({
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'"],
    connectSrc: ["'self'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
  referrerPolicy: 'no-referrer',
  xFrameOptions: 'DENY',
  // Whether the host is only to be reached by TLS is for whoever ends TLS to say.
  strictTransportSecurity: false,
})

function toInvalid(error: z.ZodError) {
  const issue = error.issues[0]
  if (issue?.code === 'unrecognized_keys') {
    const name = issue.keys[0] ?? ''
    return invalid([...issue.path, name].join('.'), 'no such parameter; see /openapi.json')
  }
  return invalid(issue?.path.join('.') || 'body', issue?.message ?? 'not valid')
}
