import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { User } from './authentication.ts'
import { aggregatedType, discover, wantsAggregated } from './discovery.ts'
import { type Answer, type Call, createHandlers, type Services } from './handlers.ts'
import { isSet, parseListOptions } from './list-options.ts'
import { negotiate, type Rendition } from './negotiate.ts'
import { describeApi } from './openapi.ts'
import type { Random } from './random.ts'
import type { Attempt, Authorizer } from './rbac.ts'
import { respond, respondText } from './respond.ts'
import { parseRoute, type Route, verbOf } from './route.ts'
import { ApiError, forbidden, forbiddenPath, internal, methodNotAllowed, unauthorized } from './status.ts'
import { serveWatch, type WatchSettings } from './watch.ts'

export interface ServerOptions extends Services {
  random: Random
  authorizer: Authorizer
  watch: WatchSettings
}

export interface ApiServer {
  server: Server
  /** Ends every watch cleanly, as a real server does on SIGTERM. */
  endWatches(): void
}

const healthPaths = /^\/(healthz|livez|readyz)(\/[a-z-]+)*$/
const plainJson: Rendition = { shape: 'plain', format: 'json', pretty: false, includeObject: 'Metadata' }

function flowHeaders(random: Random): Record<string, string> {
  return {
    'X-Kubernetes-Pf-Flowschema-Uid': random.uuid(),
    'X-Kubernetes-Pf-Prioritylevel-Uid': random.uuid(),
  }
}

function refuse(user: User, attempt: Attempt): ApiError {
  if ('path' in attempt) return forbiddenPath(user.username, attempt.verb, attempt.path)
  const resource = attempt.subresource === '' ? attempt.resource : `${attempt.resource}/${attempt.subresource}`
  const where = attempt.namespace === '' ? 'at the cluster scope' : `in the namespace "${attempt.namespace}"`
  const why = `User "${user.username}" cannot ${attempt.verb} resource "${resource}" in API group "${attempt.group}" ${where}`
  return forbidden({ group: attempt.group, plural: attempt.resource }, attempt.name, why)
}

export function createApiServer(options: ServerOptions): ApiServer {
  const { store, clock, random, authorizer } = options
  const handlers = createHandlers(options)
  const watchEnds = new Set<() => void>()
  // The privileged and everyone else fall into different flow schemas.
  const privilegedFlow = flowHeaders(random)
  const commonFlow = flowHeaders(random)
  const watchContext = {
    store,
    clock,
    random,
    settings: options.watch,
    onStop(end: () => void) {
      watchEnds.add(end)
      return () => watchEnds.delete(end)
    },
  }

  function authorize(user: User, attempt: Attempt): void {
    if (!authorizer.decide(user, attempt).allowed) throw refuse(user, attempt)
  }

  function identify(request: IncomingMessage): User {
    const user = options.authenticator.authenticate(request.headers.authorization)
    if (user === undefined) throw unauthorized()
    const as = request.headers['impersonate-user']
    if (typeof as !== 'string') return user
    const attempt = { verb: 'impersonate', group: '', resource: 'users', subresource: '', namespace: '', name: as }
    authorize(user, attempt)
    const groups = request.headers['impersonate-group']
    return { username: as, groups: [...[groups ?? []].flat(), 'system:authenticated'] }
  }

  async function answerPath(request: IncomingMessage, response: ServerResponse, user: User, url: URL): Promise<void> {
    const method = request.method ?? 'GET'
    authorize(user, { verb: method.toLowerCase(), path: url.pathname })
    if (healthPaths.test(url.pathname)) {
      respondText(response, 200, 'ok')
      return
    }
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/$/, '') : url.pathname
    const accept = request.headers.accept ?? ''
    const isAggregated = wantsAggregated(accept)
    const address = String(request.headers.host ?? '')
    const body = discover(store.resources, path, isAggregated, address) ?? describeApi(store.resources, path)
    if (body === undefined) {
      respondText(response, 404, '404 page not found\n')
      return
    }
    if (isAggregated && (path === '/api' || path === '/apis')) response.setHeader('Content-Type', aggregatedType)
    // Discovery and OpenAPI have media types of their own, of which this server only knows the plain one.
    const { pretty } = negotiate('*/*', url.searchParams, request.headers['user-agent'] ?? '')
    const shown =
      accept === '' || /json|\*\/\*/.test(accept) ? { ...plainJson, pretty } : negotiate(accept, url.searchParams, '')
    await respond(request, response, 200, body, shown)
  }

  function dispatch(call: Call, verb: string): Promise<Answer> {
    switch (verb) {
      case 'get':
        return handlers.get(call)
      case 'list':
        return handlers.list(call, parseListOptions(call.query))
      case 'create':
        return handlers.create(call)
      case 'update':
        return handlers.replace(call)
      case 'patch':
        return handlers.modify(call)
      case 'delete':
        return handlers.remove(call)
      default:
        return handlers.removeAll(call, parseListOptions(call.query))
    }
  }

  function isAllowed(route: Route, verb: string): boolean {
    if (route.subresource === '') return route.resource.verbs.includes(verb)
    return route.resource.subresources.some((sub) => sub.name === route.subresource && sub.verbs.includes(verb))
  }

  async function answerResource(
    request: IncomingMessage,
    response: ServerResponse,
    user: User,
    url: URL,
    route: Route,
    rendition: () => Rendition,
  ): Promise<void> {
    const query = url.searchParams
    const wantsWatch = request.method === 'GET' && isSet(query.get('watch'))
    const verb = verbOf(request.method ?? 'GET', route, wantsWatch)
    if (verb === undefined) throw methodNotAllowed()
    const { resource, namespace, name, subresource } = route
    // Within its own object a namespace counts as namespaced to the authorizer.
    const scope = resource.kind === 'Namespace' ? name : namespace
    authorize(user, { verb, group: resource.group, resource: resource.plural, subresource, namespace: scope, name })
    if (subresource !== '' && !resource.subresources.some((sub) => sub.name === subresource)) {
      respondText(response, 404, '404 page not found\n')
      return
    }
    if (!isAllowed(route, verb)) throw methodNotAllowed()
    if (verb === 'watch') {
      if (route.isWatchPath) query.set('watch', '1')
      if (name !== '') query.set('fieldSelector', `metadata.name=${name}`)
      const watching = parseListOptions(query)
      const shape = rendition()
      response.setHeader('Content-Type', 'application/json')
      return serveWatch(watchContext, response, resource, namespace, watching, shape)
    }
    const { code, body } = await dispatch({ request, response, route, query, user, rendition: rendition() }, verb)
    await respond(request, response, code, body, rendition())
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://sandbox')
    const agent = request.headers['user-agent'] ?? ''
    const rendition = () => negotiate(request.headers.accept ?? '', url.searchParams, agent)
    response.setHeader('Audit-Id', random.uuid())
    response.setHeader('Cache-Control', 'no-cache, private')
    // Go leaves the connection alone unless told otherwise, and says nothing about it.
    response.removeHeader('Connection')
    try {
      const user = identify(request)
      const flow = user.groups.includes('system:masters') ? privilegedFlow : commonFlow
      for (const [header, value] of Object.entries(flow)) response.setHeader(header, value)
      const route = parseRoute(store.resources, url.pathname)
      if (route === undefined) await answerPath(request, response, user, url)
      else await answerResource(request, response, user, url, route, rendition)
    } catch (error) {
      await answerError(request, response, error, url, agent)
    }
  }

  async function answerError(
    request: IncomingMessage,
    response: ServerResponse,
    error: unknown,
    url: URL,
    agent: string,
  ): Promise<void> {
    if (response.destroyed) return
    if (response.headersSent) {
      response.destroy()
      return
    }
    const { status } =
      error instanceof ApiError ? error : internal(error instanceof Error ? error.message : String(error))
    response.removeHeader('Content-Type')
    if (status.code === 403) response.setHeader('X-Content-Type-Options', 'nosniff')
    const wait = status.details?.retryAfterSeconds
    if (wait !== undefined) response.setHeader('Retry-After', wait)
    const { pretty } = negotiate('*/*', url.searchParams, agent)
    await respond(request, response, status.code ?? 500, status, { ...plainJson, pretty })
  }

  const server = createServer({ keepAlive: true, noDelay: true }, (request, response) => {
    answer(request, response).catch(() => response.destroy())
  })
  // A watch is a request that stays; Go's server has no such limits either.
  server.requestTimeout = 0
  server.headersTimeout = 60_000
  server.keepAliveTimeout = 180_000
  server.on('clientError', (_error, socket) => socket.destroy())
  return {
    server,
    endWatches() {
      for (const end of [...watchEnds]) end()
    },
  }
}
