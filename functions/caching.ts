import type { MiddlewareHandler } from 'hono'
import { etag } from 'hono/etag'

/** How long an edge may answer for everyone, and with what is old while it asks, in seconds. */
const fresh = 1
const stale = 5

/**
 * Lets caches keep current state for a moment. What was asked for with credentials is for the one who asked, and asked for
 * again each time.
 *
 * The ETag is a digest of the body: the log's sequence number will not do, since renewals move the state on without it. It
 * is a weak one that leaves out the cursor: to follow from an earlier place is to hear once more what is known already.
 */
export const revalidate: readonly [MiddlewareHandler, MiddlewareHandler] = [
  async (c, next) => {
    await next()
    if (c.res.status !== 200 && c.res.status !== 304) return
    const isPersonal = c.req.header('authorization') !== undefined || c.req.header('cookie') !== undefined
    const shared = `public, max-age=${fresh}, stale-while-revalidate=${stale}`
    c.res.headers.set('cache-control', isPersonal ? 'private, no-cache' : shared)
    c.res.headers.append('vary', 'authorization, cookie')
  },
  etag({ weak: true, generateDigest: (body) => crypto.subtle.digest('SHA-256', withoutCursor(body)) }),
]

function withoutCursor(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  // One character for each byte.
  const found = /,"cursor":"[\w-]+"/.exec(new TextDecoder('latin1').decode(body))
  if (found === null) return body
  const rest = new Uint8Array(body.length - found[0].length)
  rest.set(body.subarray(0, found.index))
  rest.set(body.subarray(found.index + found[0].length), found.index)
  return rest
}
