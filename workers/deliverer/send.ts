import { Agent, type Dispatcher } from 'undici'
import type { AddressPolicy } from '../../shared/webhook/address.ts'
import type { Attempt, AttemptError } from '../../shared/webhook/delivery.ts'
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
    send({ url, headers, body }, signal) {
      const at = now()
      const started = performance.now()
      return new Promise<Sent>((resolve, reject) => {
        let controller: Dispatcher.DispatchController | undefined
        let isDone = false
        let status: number | undefined
        let wish: string | string[] | undefined
        let length = 0
        const kept: Buffer[] = []

        const finish = (): boolean => {
          if (isDone) return false
          isDone = true
          clearTimeout(timer)
          signal.removeEventListener('abort', onStop)
          return true
        }
        const describeAnswer = () => {
          const response = textOf(kept)
          return { ...(status === undefined ? {} : { status }), ...(response === '' ? {} : { response }) }
        }
        const answered = () => {
          if (status === undefined || !finish()) return
          const error = classifyStatus(status)
          const failure = error === undefined ? {} : { error, detail: `answered ${status}` }
          const attempt = { at, latencyMs: Math.round(performance.now() - started), ...describeAnswer(), ...failure }
          const retryAfter =
            typeof wish === 'string' && throttling.includes(status) ? parseRetryAfter(wish, now()) : undefined
          resolve(retryAfter === undefined ? { attempt } : { attempt, retryAfter })
        }
        const failed = (error: AttemptError, detail: string) => {
          if (!finish()) return
          const latencyMs = Math.round(performance.now() - started)
          resolve({ attempt: { at, latencyMs, ...describeAnswer(), error, detail } })
        }
        /** Ends what is under way; what still waits for a connection is ended when its turn comes. */
        const cut = () => controller?.abort(new Error('no more is read'))

        const timer = setTimeout(() => {
          failed('timeout', `no answer within ${deadline} ms`)
          cut()
        }, deadline)
        const onStop = () => {
          if (finish()) reject(signal.reason)
          cut()
        }
        if (signal.aborted) return onStop()
        signal.addEventListener('abort', onStop, { once: true })

        agent.dispatch(
          { origin: url.origin, path: url.pathname + url.search, method: 'POST', headers, body },
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
              if (length < keepLimit) kept.push(Buffer.from(chunk.subarray(0, keepLimit - length)))
              length += chunk.length
              if (length < readLimit) return
              answered()
              cut()
            },
            onResponseEnd: answered,
            onResponseError(_, error) {
              failed(status === undefined ? classifyFailure(error) : 'body', describe(error))
            },
          },
        )
      })
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
