import type { Context, ErrorHandler, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { RelayError, type RelayErrorCode } from '../shared/errors.ts'
import type { RedisClient } from '../shared/redis.ts'
import type { Logger } from '../shared/role.ts'

type Code = RelayErrorCode | 'method_not_allowed' | 'internal'

const titles: Readonly<Record<Code, string>> = {
  invalid: 'The request is not valid',
  unauthorized: 'Authentication is needed',
  forbidden: 'Not allowed',
  not_found: 'Not found',
  not_acceptable: 'No such format',
  conflict: 'In conflict with the present state',
  changed: 'Changed by somebody else',
  gone: 'The history is no longer kept',
  too_large: 'The body is too large',
  unsupported: 'The body has an unsupported type',
  unprocessable: 'The request asks for too much',
  too_many: 'Too many requests',
  unimplemented: 'Not available here',
  unavailable: 'Not available at the moment',
  method_not_allowed: 'The method is not allowed here',
  internal: 'Something went wrong',
}

/** An answer in the format of RFC 9457; `extra` are its own members beside the standard ones. */
function answerProblem(
  code: Code,
  status: number,
  detail: string,
  extra: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body = { type: `urn:kube-watch-relay:problem:${code}`, title: titles[code], status, detail, ...extra }
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
  })
}

/** Answers what a route threw. What is not a `RelayError` is logged, and its caller told nothing of it. */
export function createErrorHandler(log: Logger): ErrorHandler {
  return (error, c) => {
    if (error instanceof RelayError) return answerError(error)
    // The framework's own refusals: a body that is no JSON, a media type that the route does not take.
    if (error instanceof HTTPException && error.status < 500) return answerError(toRelayError(error))
    log.error({ err: error, method: c.req.method, path: c.req.path }, 'a request failed')
    return answerProblem('internal', 500, 'The relay could not answer. The reason is in its log.')
  }
}

/** No route has this path. */
export function answerNotFound(c: Context): Response {
  return answerProblem('not_found', 404, `There is nothing at ${c.req.path}; see /openapi.json.`)
}

/** The path is right and the method is not. */
export function answerMethodNotAllowed(c: Context, methods: string[]): Response {
  const allow = methods.join(', ')
  return answerProblem('method_not_allowed', 405, `${c.req.method} is not allowed here; ${allow} is.`, {}, { allow })
}

/** Gives whatever is thrown the form that error handlers are called for: not all libraries throw an `Error`. */
export const catchOddities: MiddlewareHandler = async (_, next) => {
  try {
    await next()
  } catch (thrown) {
    throw thrown instanceof Error ? thrown : new Error('something that is no Error was thrown', { cause: thrown })
  }
}

/** Keeps answers out of caches: every one of them is of this moment. */
export const neverStore: MiddlewareHandler = async (c, next) => {
  await next()
  if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store')
}

/**
 * Wraps a Redis client so that its failures are ours to the caller: 503, and no internals. A missing script stays what it
 * is, since whoever runs scripts answers it by itself.
 */
export function hideFailures(redis: RedisClient, log: Logger): RedisClient {
  return {
    async call(command, ...args) {
      try {
        return await redis.call(command, ...args)
      } catch (error) {
        if (error instanceof Error && error.message.startsWith('NOSCRIPT')) throw error
        log.debug({ err: error, command }, 'Redis failed')
        throw new RelayError('unavailable', 'The event log cannot be reached at the moment.', {
          retryAfter: 2,
          cause: error,
        })
      }
    },
  }
}

/** Answers an error of ours. */
export function answerError({ code, status, message, details }: RelayError): Response {
  const { retryAfter, ...extra } = details
  return answerProblem(code, status, message, extra, {
    ...(retryAfter === undefined ? {} : { 'retry-after': `${retryAfter}` }),
    // RFC 9110, section 11.6.1.
    ...(code === 'unauthorized' ? { 'www-authenticate': 'Bearer' } : {}),
  })
}

function toRelayError(error: HTTPException): RelayError {
  if (error.status === 415) return new RelayError('unsupported', 'The body must be application/json.')
  if (error.status === 413) return new RelayError('too_large', 'The body is too large.')
  if (error.status === 404) return new RelayError('not_found', 'Not found.')
  return new RelayError('invalid', 'The body is no valid JSON.', { field: 'body' })
}
