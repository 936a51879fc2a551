/** How long an answer is given again as it is, and how long while a newer one is fetched, in ms. As ../caching.ts tells. */
const fresh = 1_000
const stale = 5_000

const storedAt = 'relay-stored-at'

/** What can be cached: current state. Everything else is a stream, a change, or somebody's own. */
export function isCacheable({ method, headers }: Request, { pathname }: URL): boolean {
  return method === 'GET' && /^\/v1\/(pods|leases|holders)(\/|$)/.test(pathname) && !headers.has('upgrade')
}

/**
 * Answers from the platform's cache, or from the hub. An answer to a credential is kept under its digest, for nobody else,
 * and never given when it is stale: a credential that was taken back is refused a second later.
 * @param caller the digest of the credential; empty without one.
 */
export async function answerFromCache(
  request: Request,
  options: { caller: string; ask: (request: Request) => Promise<Response>; wait: (task: Promise<unknown>) => void },
): Promise<Response> {
  const { caller, ask, wait } = options
  const place = new URL(request.url)
  const key = new Request(
    // An origin of `..` is not to lead to the place of another caller.
    `https://cache.relay.invalid/${caller || 'public'}/${encodeURIComponent(`o:${request.headers.get('origin') ?? ''}`)}${place.pathname}${place.search}`,
  )
  const refresh = async () => {
    // Without its conditions, so that there is a body to keep.
    const headers = new Headers(request.headers)
    headers.delete('if-none-match')
    const response = await ask(new Request(request, { headers }))
    if (response.status !== 200 || response.headers.has('set-cookie')) return response
    const kept = new Response(response.clone().body, response)
    kept.headers.set('cache-control', `max-age=${(caller === '' ? fresh + stale : fresh) / 1000}`)
    kept.headers.set(storedAt, String(Date.now()))
    kept.headers.delete('vary')
    wait(caches.default.put(key, kept))
    return response
  }

  const found = await caches.default.match(key)
  const age = found === undefined ? Number.POSITIVE_INFINITY : Date.now() - Number(found.headers.get(storedAt))
  if (found === undefined || age > (caller === '' ? fresh + stale : fresh)) {
    return revalidate(request, await refresh(), caller, 'fwd=miss')
  }
  if (age > fresh) wait(refresh().then((response) => response.body?.cancel()))
  return revalidate(request, found, caller, `hit; ttl=${Math.ceil((fresh - age) / 1000)}`, age)
}

/** Says how old the answer is (RFC 9211), and leaves the body out where the caller has it. */
function revalidate(request: Request, answer: Response, caller: string, how: string, age = 0): Response {
  if (answer.status !== 200) return answer
  const response = new Response(answer.body, answer)
  const { headers } = response
  headers.delete(storedAt)
  headers.set('cache-status', `kube-watch-relay; ${how}`)
  headers.set('age', String(Math.floor(age / 1000)))
  headers.set('vary', 'authorization, cookie, origin')
  headers.set(
    'cache-control',
    caller === '' ? `public, max-age=${fresh / 1000}, stale-while-revalidate=${stale / 1000}` : 'private, no-cache',
  )
  const known =
    request.headers
      .get('if-none-match')
      ?.split(/\s*,\s*/)
      .map(toWeak) ?? []
  const etag = headers.get('etag')
  if (etag === null || !(known.includes(toWeak(etag)) || known.includes('*'))) return response
  void response.body?.cancel()
  return new Response(null, { status: 304, headers })
}

/** Caches compare weakly: RFC 9110, section 13.1.2. */
function toWeak(etag: string): string {
  return etag.replace(/^W\//, '')
}
