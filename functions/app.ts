import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import { cors } from 'hono/cors'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { secureHeaders } from 'hono/secure-headers'
import { invalid } from '../shared/errors.ts'
import { createKeys } from '../shared/keys.ts'
import { createLogReader, type LogEntry } from '../shared/log/reader.ts'
import { createStateReader } from '../shared/state.ts'
import { createWebhookStore } from '../shared/webhook/store.ts'
import { createAuthenticator } from './auth/choose.ts'
import { createIdentifier, createIdentify, createNarrow, createStateGuard, loginCookie } from './auth/guard.ts'
import { requireOwnHost } from './auth/host.ts'
import { createLogins } from './auth/logins.ts'
import { createSessions } from './auth/sessions.ts'
import { createTickets } from './auth/tickets.ts'
import { guardWebhooks } from './auth/webhook-owners.ts'
import { createOwnerReview } from './auth/webhook-rights.ts'
import { createBodyLimit } from './body-limit.ts'
import type { AppDeps, AppEnv } from './deps.ts'
import { defaultLimits } from './limits.ts'
import {
  answerMethodNotAllowed,
  answerNotFound,
  catchOddities,
  createErrorHandler,
  hideFailures,
  neverStore,
} from './problem.ts'
import { createRateLimit } from './rate-limit.ts'
import { mountEvents } from './routes/events.ts'
import { mountFilters } from './routes/filters.ts'
import { mountHealth } from './routes/health.ts'
import { mountHolders } from './routes/holders.ts'
import { mountLeases } from './routes/leases.ts'
import { mountLogin } from './routes/login.ts'
import { mountMetrics } from './routes/metrics.ts'
import { mountPage } from './routes/page.ts'
import { mountPods } from './routes/pods.ts'
import { mountSocket, requireHeld, resumeSocket } from './routes/socket.ts'
import { mountTickets } from './routes/tickets.ts'
import type { Services } from './services.ts'
import { createHub, type HubStats } from './streams/hub.ts'
import type { Kept, Link } from './streams/socket.ts'
import { createWebhookRoutes } from './webhooks.ts'

/** The HTTP functions of one cluster. */
export interface App {
  /** Answers requests; an entry passes each with its `Bindings`. */
  readonly hono: OpenAPIHono<AppEnv>
  /** Refuses new streams and ends the open ones within `limits.drain`. */
  drain(): Promise<void>
  /** Turns off webhooks whose owners lost their rights; to be called every `limits.owners`. Never rejects. */
  reviewOwners(): Promise<void>
  /** Goes on with a WebSocket that outlived its process; see `resumeSocket`. */
  resume(link: Link, kept: Kept): Promise<void>
  /** Checks a caller whose WebSocket waits to go on; see `requireHeld`. */
  check(kept: Kept): Promise<void>
  stats(): HubStats
}

const info = {
  title: 'kube-watch-relay',
  version: '0.1.0',
  description: 'What changes inside a Kubernetes cluster, told outside: streams, pages, current state and webhooks.',
}

/** What changes here may change what callers may see. */
const rbacGroup = '/apis/rbac.authorization.k8s.io/'

const documentRoute = createRoute({
  method: 'get',
  path: '/openapi.json',
  operationId: 'getDocument',
  security: [],
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
  const origins = deps.origins ?? []
  const keys = createKeys(cluster)
  const redis = hideFailures(deps.redis, log)
  const reader = createLogReader(redis, keys)
  const authenticator = createAuthenticator(deps.auth, { redis, keys, resources, now, log })
  const logins = createLogins(redis, keys, now)
  const webhooks = createWebhookStore(redis, keys)
  const reviewOwners = createOwnerReview({ authenticator, store: webhooks, log, now })
  const onReview = () => void reviewOwners()
  const sessions = createSessions({ authenticator, logins, limits, log, now, onReview })
  const tickets = createTickets(redis, keys)
  const onEntries = (entries: readonly LogEntry[]) => {
    if (authenticator.isNeeded && entries.some(({ json }) => json.includes(rbacGroup))) sessions.review()
  }
  const hub = createHub({ connect, reader, keys, log, limits, onEntries })
  const state = createStateReader(redis, keys)
  const narrow = createNarrow(authenticator, resources)
  const identify = createIdentify({ authenticator, tickets, logins, origins, now })
  const isKnown = createIdentifier(identify)
  const read = { reader, state, hub, authenticator, narrow, sessions, tickets, logins }
  const services: Services = { cluster, resources, redis, keys, log, limits, now, ...read }

  const app = new OpenAPIHono<AppEnv>({
    defaultHook: (result) => {
      if (!result.success) throw toInvalid(result.error)
    },
  })
  app.use(catchOddities)
  app.use(protect)
  app.use(neverStore)
  if (!authenticator.isNeeded) app.use(requireOwnHost(origins))
  if (origins.length > 0) app.use(cors(describeCors(origins)))
  app.use(methodNotAllowed({ app, onMethodNotAllowed: answerMethodNotAllowed }))
  app.use(createBodyLimit(limits))
  app.use('/v1/*', isKnown, createRateLimit(limits))
  app.use('/metrics', isKnown)
  for (const path of ['/v1/pods/*', '/v1/leases/*', '/v1/holders/*']) app.use(path, createStateGuard(authenticator))
  app.use('/v1/webhooks/*', guardWebhooks({ authenticator, store: webhooks }))
  app.notFound(answerNotFound)
  app.onError(createErrorHandler(log))

  mountEvents(app, services)
  mountSocket(app, services, origins)
  mountFilters(app, services)
  mountLogin(app, services)
  mountTickets(app, services)
  mountPods(app, services)
  mountLeases(app, services)
  mountHolders(app, services)
  app.route('/v1/webhooks', createWebhookRoutes({ redis, keys, resources, now, ...deps.webhooks }))
  mountHealth(app, services, identify)
  mountMetrics(app, services)
  mountPage(app, deps.page)
  mountDocument(app, authenticator.isNeeded)

  const drain = async () => {
    await hub.drain()
    sessions.close()
  }
  return {
    hono: app,
    drain,
    reviewOwners,
    resume: (link, kept) => resumeSocket(services, link, kept),
    check: (kept) => requireHeld(services, kept),
    stats: () => hub.stats(),
  }
}

function mountDocument(app: OpenAPIHono<AppEnv>, isAsked: boolean): void {
  let document: Record<string, unknown> | undefined
  const security = isAsked ? [{ credential: [] }, { login: [] }] : []
  app.openAPIRegistry.registerComponent('securitySchemes', 'credential', { type: 'http', scheme: 'bearer' })
  app.openAPIRegistry.registerComponent('securitySchemes', 'login', { type: 'apiKey', in: 'cookie', name: loginCookie })
  app.openapi(documentRoute, (c) => {
    document ??= { ...app.getOpenAPI31Document({ openapi: '3.1.0', info, security }) }
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

function describeCors(origins: readonly string[]) {
  return {
    origin: [...origins],
    allowHeaders: ['Authorization', 'Content-Type', 'Idempotency-Key', 'If-Match', 'If-None-Match', 'Last-Event-ID'],
    exposeHeaders: ['ETag', 'Link', 'Location', 'Relay-Cursor', 'Retry-After'],
    maxAge: 600,
  }
}

function toInvalid(error: z.ZodError) {
  const issue = error.issues[0]
  if (issue?.code === 'unrecognized_keys') {
    const name = issue.keys[0] ?? ''
    const isOwn = issue.message.startsWith('no such')
    return invalid([...issue.path, name].join('.'), isOwn ? issue.message : 'no such parameter; see /openapi.json')
  }
  return invalid(issue?.path.join('.') || 'body', issue?.message ?? 'not valid')
}
