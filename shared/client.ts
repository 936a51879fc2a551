/** What a subscription yields beside events. */
export interface RelayReset {
  relay: 'reset'
  /** Why events are missing: `trimmed` (no longer kept) or `replaced` (the log was begun anew). */
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
  /** The relay's address, such as `https://relay.example.com`. */
  url: string | URL
  /** Clauses by name, as in the query of `/v1/events`. */
  filter?: Readonly<Record<string, string | readonly string[]>>
  /** The `cursor` of the last message of an earlier subscription; wins over `from`. */
  cursor?: string
  /** Where to begin without a cursor: `now`, `start`, `state`, or a time in RFC 3339. */
  from?: string
  /** Ends the subscription. */
  signal?: AbortSignal
  /** Sent with each request; a function is asked again each time, for credentials that change. */
  headers?:
    | Readonly<Record<string, string>>
    | (() => Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>)
  /** A connection on which nothing comes for this long is given up, in ms. The relay sends something every 15 s. */
  silence?: number
  /** The longest pause between two attempts, in ms. */
  longestPause?: number
  fetch?: typeof fetch
}

/** The relay refuses, and would refuse again. */
export class SubscriptionError extends Error {
  override readonly name = 'SubscriptionError'
  readonly status: number
  /** The parameter or header at fault, if the relay named one. */
  readonly field: string | undefined

  constructor(status: number, message: string, field?: string) {
    super(message)
    this.status = status
    this.field = field
  }
}

/**
 * Follows events for ever: reconnects by itself, and goes on where it was. Each event comes once and in order, or a reset
 * says that some are missing. Ends without an error when `signal` aborts or the loop is left.
 * @throws SubscriptionError when the relay refuses for good: a filter that is not valid, a credential that is not.
 * @example
 * for await (const message of subscribe({ url, filter: { resource: 'pods', 'phase.to': 'Failed' } })) {
 *   if ('relay' in message) console.warn(message)
 *   else console.log(message.subject, message.data.changes)
 * }
 */
export async function* subscribe(options: SubscribeOptions): AsyncGenerator<RelayMessage, void, void> {
  const { signal, longestPause = 10_000 } = options
  const place = { cursor: options.cursor }
  let pause = 0
  while (!signal?.aborted) {
    const connection = new AbortController()
    const abort = () => connection.abort()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      for await (const message of readOnce(options, place, connection)) {
        pause = 0
        if (message !== undefined) yield message
      }
    } catch (error) {
      if (error instanceof SubscriptionError) throw error
      // Whatever broke the connection, another attempt tells more than the reason would.
      if (signal?.aborted) return
    } finally {
      signal?.removeEventListener('abort', abort)
      connection.abort()
    }
    pause = Math.min(longestPause, Math.max(100, pause * 2))
    await wait(pause * (0.5 + Math.random() / 2), signal)
  }
}

/** One connection, to its end. Yields undefined for what is of no concern to the caller, to show that the relay answers. */
async function* readOnce(
  options: SubscribeOptions,
  place: { cursor: string | undefined },
  connection: AbortController,
): AsyncGenerator<RelayMessage | undefined, void, void> {
  const { silence = 45_000, headers = {}, fetch: send = fetch } = options
  let timer = setTimeout(() => connection.abort(), silence)
  try {
    const given = typeof headers === 'function' ? await headers() : headers
    const resume = place.cursor === undefined ? {} : { 'last-event-id': place.cursor }
    const sent = { ...given, accept: 'application/x-ndjson', ...resume }
    const response = await send(addressOf(options), { headers: sent, signal: connection.signal })
    if (!response.ok || response.body === null) await refuse(response)
    let rest = ''
    const decoder = new TextDecoder()
    const reader = (response.body as ReadableStream<Uint8Array>).getReader()
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      clearTimeout(timer)
      timer = setTimeout(() => connection.abort(), silence)
      const lines = (rest + decoder.decode(piece.value, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line === '') continue
        const message = JSON.parse(line) as RelayMessage | { relay: 'ready' | 'heartbeat' | 'retry'; cursor?: string }
        const isTold = !('relay' in message) || message.relay === 'reset' || message.relay === 'live'
        // The place moves before the event is handed over: whoever breaks the loop then has seen it.
        if (message.cursor !== undefined) place.cursor = message.cursor
        yield isTold ? (message as RelayMessage) : undefined
      }
    }
  } finally {
    clearTimeout(timer)
  }
}

function addressOf({ url, filter = {}, from }: SubscribeOptions): URL {
  const address = new URL('/v1/events', url)
  for (const [name, values] of Object.entries(filter)) {
    for (const value of typeof values === 'string' ? [values] : values) address.searchParams.append(name, value)
  }
  if (from !== undefined) address.searchParams.set('from', from)
  return address
}

/** Some refusals pass: too many requests, a relay that restarts. The others are the caller's to put right. */
async function refuse(response: Response): Promise<never> {
  const { status } = response
  const text = await response.text()
  if (status === 429 || status >= 500) throw new Error(`the relay answers ${status}`)
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json') ?? false
  const { detail, field } = isProblem ? (JSON.parse(text) as { detail?: string; field?: string }) : {}
  throw new SubscriptionError(status, detail ?? `the relay answers ${status}`, field)
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
