import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { RelayError } from '../shared/errors.ts'
import type { Limits } from './limits.ts'

/**
 * Refuses bodies that are too long. Methods that have none are let past unasked: on Node, to look for the body of a request
 * builds the whole of a `Request`, which then lives as long as the stream that answers it.
 */
export function createBodyLimit({ body }: Pick<Limits, 'body'>): MiddlewareHandler {
  const limit = bodyLimit({
    maxSize: body,
    onError() {
      throw new RelayError('too_large', `The body is longer than ${body} bytes.`)
    },
  })
  return (c, next) => (c.req.method === 'GET' || c.req.method === 'HEAD' ? next() : limit(c, next))
}
