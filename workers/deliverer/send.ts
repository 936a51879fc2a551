import { Agent, type Dispatcher } from 'undici'
import type { AddressPolicy } from '../../shared/webhook/address.ts'
import type { Attempt, AttemptError } from '../../shared/webhook/delivery.ts'
import { classifyFailure, classifyStatus } from './classify.ts'
import { createGuardedConnector, type Resolve } from './connect.ts'
import { createDeadlines } from './deadlines.ts'
import { throttling } from './outcome.ts'
import { parseRetryAfter } from './schedule.ts'

/** One request, signed. */
export interface Outgoing {
  origin: string
  /** With the query. */
  path: string
  headers: Record<string, string>
  body: string | Uint8Array
}

/** How a request went. */
export interface Sent {
  attempt: Attempt
  /** What the endpoint asked for by Retry-After, in ms. */
  retryAfter?: number
}

export interface Sender {
  /** Never rejects, except with the reason of a stop that ends the request: then nobody knows how it went. */
  send(request: Outgoing): Promise<Sent>
  /** Ends all requests under way, and those to come. */
  stop(reason: Error): void
  /** Closes all connections, and the requests on them. */
  close(): Promise<void>
}

export interface SenderOptions {
  policy: AddressPolicy
  resolve: Resolve
  /** Total for name, connection, TLS, request and answer, in ms. */
  deadline: number
  /** ms since 1970. */
  now(): number
  tls?: { ca?: string }
  /** Through which all requests go. */
  proxy?: URL | undefined
}

/** How much of an answer is read, and how much of that is kept. */
const readLimit = 64 * 1024
const keepLimit = 1024

/** Creates a sender with a pool of kept-alive connections per origin. It follows no redirect and unpacks no body. */
export function createSender(options: SenderOptions): Sender {
  const { deadline, now } = options
  const agent = new Agent({
    connect: createGuardedConnector({ ...options, timeout: deadline }),
    // How many there are is for who sends to say: of webhooks at the same host, none takes the places of the others.
    connections: null,
    allowH2: false,
    pipelining: 1,
    // The deadline below is shorter, and total.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 10_000,
    keepAliveMaxTimeout: 60_000,
  })

  const deadlines = createDeadlines(deadline)
  let stopped: Error | undefined

  return {
    send({ origin, path, headers, body }) {
      const at = now()
      const started = performance.now()
      return new Promise<Sent>((resolve, reject) => {
        if (stopped !== undefined) return reject(stopped)
        let controller: Dispatcher.DispatchController | undefined
        let isDone = false
        let status: number | undefined
        let wish: string | string[] | undefined
        let length = 0
        let kept: Buffer[] | undefined

        const finish = (): boolean => {
          if (isDone) return false
          isDone = true
          deadlines.delete(entry)
          return true
        }
        const describeAttempt = (error?: AttemptError, detail?: string): Attempt => {
          const attempt: Attempt = { at, latencyMs: Math.round(performance.now() - started) }
          if (status !== undefined) attempt.status = status
          if (kept !== undefined) attempt.response = textOf(kept)
          if (error !== undefined) attempt.error = error
          if (detail !== undefined) attempt.detail = detail
          return attempt
        }
        const answered = () => {
          if (status === undefined || !finish()) return
          const error = classifyStatus(status)
          const attempt = error === undefined ? describeAttempt() : describeAttempt(error, `answered ${status}`)
          const retryAfter =
            typeof wish === 'string' && throttling.includes(status) ? parseRetryAfter(wish, now()) : undefined
          resolve(retryAfter === undefined ? { attempt } : { attempt, retryAfter })
        }
        const failed = (error: AttemptError, detail: string) => {
          if (finish()) resolve({ attempt: describeAttempt(error, detail) })
        }
        /** Ends what is under way; what still waits for a connection is ended when its turn comes. */
        const cut = () => controller?.abort(new Error('no more is read'))
        const entry = {
          end(reason?: Error) {
            if (reason === undefined) failed('timeout', `no answer within ${deadline} ms`)
            else if (finish()) reject(reason)
            cut()
          },
        }
        deadlines.add(entry)

        agent.dispatch(
          { origin, path, method: 'POST', headers, body },
          {
            onRequestStart(given) {
              controller = given
              if (isDone) cut()
            },
            onResponseStart(_, statusCode, answerHeaders) {
              // What precedes an answer, such as 103, is none.
              if (statusCode < 200) return
              status = statusCode
              wish = answerHeaders['retry-after']
            },
            onResponseData(_, chunk) {
              if (length < keepLimit) {
                kept ??= []
                kept.push(Buffer.from(chunk.subarray(0, keepLimit - length)))
              }
              length += chunk.length
              if (length < readLimit) return
              answered()
              cut()
            },
            onResponseEnd: answered,
            onResponseError(_, error) {
              const found = classifyFailure(error)
              failed(status === undefined || found === 'protocol' ? found : 'body', describe(error))
            },
          },
        )
      })
    },
    stop(reason) {
      stopped = reason
      deadlines.endAll(reason)
    },
    async close() {
      deadlines.endAll(stopped ?? new Error('the sender was closed'))
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
  // The message of OpenSSL's own names a line of its source.
  if (cause instanceof Error && 'reason' in cause && 'library' in cause) return `TLS: ${cause.reason}`
  return String(cause instanceof Error ? cause.message : cause).slice(0, 200)
}
