/** What a subscription yields beside events. */
export interface RelayReset {
  relay: 'reset'
  /**
   * Why events are missing: `trimmed` (no longer kept) or `replaced` (the log was begun anew). With `restarted` none are: the
   * connection broke before all current objects were told, and they are told anew.
   */
  reason: string
  /** Where the subscription goes on. */
  cursor: string
}

/** All current objects were told; what follows happens now. Only with `from: 'state'`. */
export interface RelayLive {
  relay: 'live'
  cursor: string
}

/** A CloudEvents 1.0 event of the relay. */
export interface RelayedEvent {
  id: string
  type: string
  source: string
  subject: string
  time: string
  /** Where to go on after it; absent for objects that are told as they are. */
  cursor?: string
  scope?: 'entered' | 'left'
  synthetic?: string
  data: {
    namespace?: string
    name?: string
    changes: { type: string; [detail: string]: unknown }[]
    [field: string]: unknown
  }
}

export type RelayMessage = RelayedEvent | RelayReset | RelayLive

/** What to subscribe to, and how. */
export interface SubscribeOptions {
  /** The relay's address, such as `https://relay.example.com`; on a page of the relay itself, `location.origin`. */
  url: string | URL
  /** Clauses by name, as in the query of `/v1/events`. */
  filter?: Readonly<Record<string, string | readonly string[]>>
  /** The `cursor` of the last message of an earlier subscription with this filter, or a wider one; wins over `from`. */
  cursor?: string
  /** Where to begin without a cursor: `now`, `start`, `state`, or a time in RFC 3339. */
  from?: string
  /** Ends the subscription. */
  signal?: AbortSignal
  /**
   * The credential: an API key or a token. A function is asked before each connection, and once more when the relay refuses
   * what it gave. Absent on a page of the relay where one is logged in: the browser sends the cookie.
   */
  token?: string | (() => string | Promise<string>)
  /** Sent with each request. */
  headers?: Readonly<Record<string, string>>
  /** A connection on which nothing comes for this long is given up, in ms. The relay sends something every 15 s. */
  silence?: number
  /** The longest pause between two attempts, in ms, unless the relay asks for a longer one. */
  longestPause?: number
  /** Told of each connection that broke or was refused for a while, and how long the pause is, in ms. */
  onRetry?: (why: Error, pause: number) => void
  fetch?: typeof fetch
}

/** The relay refuses. */
export class SubscriptionError extends Error {
  override readonly name = 'SubscriptionError'
  readonly status: number
  /** The parameter or header at fault, if the relay named one. */
  readonly field: string | undefined
  /** After how many ms the relay may be asked again; undefined when it would refuse again. */
  readonly retryAfter: number | undefined

  constructor(
    status: number,
    message: string,
    more: { field?: string | undefined; retryAfter?: number | undefined } = {},
  ) {
    super(message)
    this.status = status
    this.field = more.field
    this.retryAfter = more.retryAfter
  }
}

/** Where a subscription is, across its connections. */
interface Place {
  cursor: string | undefined
  /** Current objects are being told, and are told anew by the next connection. */
  isTelling: boolean
  /** The last token that was refused: a second time says nothing new. */
  refused?: string | undefined
  /** How long the relay asked to stay away for, should the connection end, in ms: not all of its clients the same. */
  retry: number
}

/**
 * Follows events for ever: reconnects by itself, and goes on where it was. Each event comes once and in order, or a reset
 * says that some are missing. Ends without an error when `signal` aborts or the loop is left.
 * @throws SubscriptionError when the relay refuses for good: a filter that is not valid, a credential that is not.
 * @throws TypeError when `url` is no address of a relay.
 * @example
 * for await (const message of subscribe({ url, token, filter: { resource: 'pods', 'phase.to': 'Failed' } })) {
 *   if ('relay' in message) console.warn(message)
 *   else console.log(message.subject, message.data.changes)
 * }
 */
export async function* subscribe(options: SubscribeOptions): AsyncGenerator<RelayMessage, void, void> {
  const { signal, longestPause = 10_000, onRetry } = options
  const address = addressOf(options)
  const place: Place = { cursor: options.cursor, isTelling: false, retry: 0 }
  let pause = 0
  while (!signal?.aborted) {
    const connection = new AbortController()
    const abort = () => connection.abort()
    signal?.addEventListener('abort', abort, { once: true })
    let why = new Error('The connection ended.')
    try {
      for await (const message of readOnce(address, options, place, connection)) {
        pause = 0
        if (message !== undefined) yield message
      }
    } catch (error) {
      if (signal?.aborted) return
      why = error instanceof Error ? error : new Error('The connection broke.', { cause: error })
      if (why instanceof SubscriptionError && why.retryAfter === undefined) throw why
    } finally {
      signal?.removeEventListener('abort', abort)
      connection.abort()
    }
    pause = Math.min(longestPause, Math.max(100, pause === 0 ? place.retry : pause * 2))
    const asked = why instanceof SubscriptionError ? (why.retryAfter ?? 0) : 0
    // Those who broke off together do not come back together.
    const chosen = Math.max(asked, pause) * (asked > pause ? 1 + Math.random() / 10 : 0.5 + Math.random() / 2)
    onRetry?.(why, chosen)
    await wait(chosen, signal)
  }
}

/** One connection, to its end. Yields undefined for what is of no concern to the caller, to show that the relay answers. */
async function* readOnce(
  address: URL,
  options: SubscribeOptions,
  place: Place,
  connection: AbortController,
): AsyncGenerator<RelayMessage | undefined, void, void> {
  const { silence = 45_000, headers, token, fetch: send = fetch } = options
  /** Only what the relay takes counts, and not what the caller does with what came. */
  const soon = async <Result>(coming: Promise<Result>): Promise<Result> => {
    const timer = setTimeout(() => connection.abort(new Error('Nothing came for too long.')), silence)
    try {
      return await coming
    } finally {
      clearTimeout(timer)
    }
  }
  const given = typeof token === 'function' ? await token() : token
  const authorization = given === undefined ? {} : { authorization: `Bearer ${given}` }
  const resume = place.cursor === undefined ? {} : { 'last-event-id': place.cursor }
  const sent = { ...headers, ...authorization, accept: 'application/x-ndjson', ...resume }
  const response = await soon(send(address, { headers: sent, signal: connection.signal }))
  if (!response.ok || response.body === null) {
    const isNew = response.status === 401 && typeof token === 'function' && place.refused !== given
    place.refused = response.status === 401 ? given : undefined
    throw await soon(readRefusal(response, isNew))
  }
  place.refused = undefined
  if (response.headers.get('content-type')?.startsWith('text/html')) {
    throw new SubscriptionError(
      response.status,
      `${address.origin} answers with a web page: is it the relay's address?`,
    )
  }
  let rest = ''
  const decoder = new TextDecoder()
  const reader = response.body.getReader()
  for (let piece = await soon(reader.read()); !piece.done; piece = await soon(reader.read())) {
    const lines = (rest + decoder.decode(piece.value, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') yield follow(options, place, JSON.parse(line))
  }
}

/** Moves the place behind a line, before its event is handed over: whoever breaks the loop then has seen it. */
function follow({ from }: SubscribeOptions, place: Place, message: RelayMessage | Notice): RelayMessage | undefined {
  const { cursor } = message
  if (!('relay' in message)) {
    if (cursor !== undefined) place.cursor = cursor
    return message
  }
  if (message.relay === 'ready' && from === 'state' && place.cursor === undefined) {
    const isAgain = place.isTelling
    place.isTelling = true
    return isAgain ? { relay: 'reset', reason: 'restarted', cursor: cursor ?? '' } : undefined
  }
  if (message.relay === 'retry') place.retry = message.ms ?? 0
  if (cursor !== undefined) place.cursor = cursor
  return message.relay === 'reset' || message.relay === 'live' ? message : undefined
}

/** What a stream says to its client alone. */
interface Notice {
  relay: 'ready' | 'heartbeat' | 'retry'
  cursor?: string
  /** With `retry`. */
  ms?: number
}

/** @throws TypeError when it is no address. */
function addressOf({ url, filter = {}, from }: SubscribeOptions): URL {
  const base = String(url)
  if (!/^https?:\/\/./i.test(base)) throw new TypeError(`url: "${base}" must begin with http:// or https://`)
  const address = new URL('v1/events', base.endsWith('/') ? base : `${base}/`)
  for (const [name, values] of Object.entries(filter)) {
    for (const value of typeof values === 'string' ? [values] : values) address.searchParams.append(name, value)
  }
  if (from !== undefined) address.searchParams.set('from', from)
  return address
}

/** Some refusals pass: too many requests, a relay that restarts. The others are the caller's to put right. */
async function readRefusal(response: Response, mayPass: boolean): Promise<SubscriptionError> {
  const { status, headers } = response
  const text = await response.text()
  const isProblem = headers.get('content-type')?.startsWith('application/problem+json') ?? false
  const { detail, field } = isProblem ? (JSON.parse(text) as { detail?: string; field?: string }) : {}
  const isPassing = mayPass || status === 429 || status >= 500
  const retryAfter = isPassing ? readDelay(headers.get('retry-after')) : undefined
  return new SubscriptionError(status, detail ?? `the relay answers ${status}`, { field, retryAfter })
}

/** Seconds or a date, as HTTP has it; in ms, at most an hour. */
function readDelay(text: string | null): number {
  const ms = /^\d+$/.test(text ?? '') ? Number(text) * 1000 : Date.parse(text ?? '') - Date.now()
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), 3_600_000)
}

async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal?.addEventListener('abort', finish, { once: true })
    if (signal?.aborted) finish()
  })
}
