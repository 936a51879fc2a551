import { Agent } from 'undici'
import type { AddressPolicy } from '../../shared/webhook/address.ts'
import type { Attempt } from '../../shared/webhook/delivery.ts'
import { parseRetryAfter } from '../../shared/webhook/schedule.ts'
import { classifyFailure, classifyStatus } from './classify.ts'
import { createGuardedConnector, type Resolve } from './connect.ts'
import { throttling } from './outcome.ts'

/** One request, signed. */
export interface Outgoing {
  url: URL
  headers: Record<string, string>
  body: string
}

/** How a request went. */
export interface Sent {
  attempt: Attempt
  /** What the endpoint asked for by Retry-After, in ms. */
  retryAfter?: number
}

export interface Sender {
  /** Never rejects, except with the signal's reason when that ends the request: then nobody knows how it went. */
  send(request: Outgoing, signal: AbortSignal): Promise<Sent>
  /** Closes all connections, and the requests on them. */
  close(): Promise<void>
}

export interface SenderOptions {
  policy: AddressPolicy
  resolve: Resolve
  /** Total for name, connection, TLS, request and answer, in ms. */
  deadline: number
  /** Connections per origin. */
  connections: number
  /** ms since 1970. */
  now(): number
  tls?: { ca?: string }
}

/** How much of an answer is read, and how much of that is kept. */
const readLimit = 64 * 1024
const keepLimit = 1024

class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** Creates a sender with a pool of kept-alive connections per origin. It follows no redirect and unpacks no body. */
export function createSender(options: SenderOptions): Sender {
  const { policy, deadline, now } = options
  const agent = new Agent({
    connect: createGuardedConnector(policy, options.resolve, deadline, options.tls),
    connections: options.connections,
    allowH2: false,
    pipelining: 1,
    // The deadline below is shorter, and total.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 10_000,
    keepAliveMaxTimeout: 60_000,
  })

  return {
    async send({ url, headers, body }, signal) {
      const at = now()
      const started = performance.now()
      const ending = new AbortController()
      const timer = setTimeout(() => ending.abort(new DeadlineError(`no answer within ${deadline} ms`)), deadline)
      const onStop = () => ending.abort(signal.reason)
      signal.addEventListener('abort', onStop, { once: true })
      const conclude = (outcome: Omit<Attempt, 'at' | 'latencyMs'>): Attempt => ({
        at,
        latencyMs: Math.round(performance.now() - started),
        ...outcome,
      })
      let status: number | undefined
      const kept: Buffer[] = []
      try {
        signal.throwIfAborted()
        const answer = await agent.request({
          origin: url.origin,
          path: url.pathname + url.search,
          method: 'POST',
          headers,
          body,
          signal: ending.signal,
        })
        status = answer.statusCode
        // Without a listener, destroying the rest of a body would be an uncaught error.
        answer.body.on('error', () => undefined)
        let length = 0
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          if (length < keepLimit) kept.push(chunk.subarray(0, keepLimit - length))
          length += chunk.length
          if (length >= readLimit) break
        }
        const error = classifyStatus(status)
        const response = textOf(kept)
        const attempt = conclude({
          status,
          ...(error === undefined ? {} : { error, detail: `answered ${status}` }),
          ...(response === '' ? {} : { response }),
        })
        const wish = throttling.includes(status) ? answer.headers['retry-after'] : undefined
        const retryAfter = typeof wish === 'string' ? parseRetryAfter(wish, now()) : undefined
        return retryAfter === undefined ? { attempt } : { attempt, retryAfter }
      } catch (error) {
        if (signal.aborted) throw signal.reason
        const isLate = ending.signal.aborted
        const kind = isLate ? 'timeout' : status === undefined ? classifyFailure(error) : 'body'
        const response = textOf(kept)
        const detail = describe(isLate ? ending.signal.reason : error)
        return {
          attempt: conclude({
            ...(status === undefined ? {} : { status }),
            error: kind,
            detail,
            ...(response === '' ? {} : { response }),
          }),
        }
      } finally {
        clearTimeout(timer)
        signal.removeEventListener('abort', onStop)
      }
    },
    async close() {
      await agent.destroy()
    },
  }
}

/** Invalid bytes become U+FFFD: what is kept is for people. */
function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8')
}

function describe(error: unknown): string {
  const cause = error instanceof AggregateError ? error.errors[0] : error
  return String(cause instanceof Error ? cause.message : cause).slice(0, 200)
}
