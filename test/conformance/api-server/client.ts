import type { Readable } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { request } from 'undici'
import { createCredentialSource } from '../../../workers/kube/credentials.ts'

/** Any JSON object of the API: a row looks at what it is about and leaves the rest alone. */
export interface Body {
  kind?: string
  code?: number
  reason?: string
  message?: string
  status?: unknown
  items?: Body[]
  spec?: Record<string, unknown>
  metadata?: {
    name?: string
    uid?: string
    resourceVersion?: string
    continue?: string
    remainingItemCount?: number
    labels?: Record<string, string>
    annotations?: Record<string, string>
    deletionTimestamp?: string
    deletionGracePeriodSeconds?: number
  }
  details?: { name?: string; kind?: string; retryAfterSeconds?: number; causes?: { reason?: string; field?: string }[] }
  [field: string]: unknown
}

export interface Reply {
  code: number
  body: Body
  text: string
}

export interface Frame {
  type: string
  object: Body
}

/** An open watch. */
export interface Watch {
  code: number
  /** The next frame that is no bookmark, unless those are asked for; undefined at the end. */
  next(withBookmarks?: boolean): Promise<Frame | undefined>
  /** All frames until the server ends the watch. */
  rest(): Promise<Frame[]>
  close(): void
}

/** Plain requests with a kubeconfig's credentials. */
export interface Client {
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>
  watch(path: string): Promise<Watch>
  close(): Promise<void>
}

/** How long one answer may take, and how long a row waits for a frame, in ms. */
const patienceMs = 30_000

/** Creates a client. */
export function createClient(config: KubeConfig): Client {
  const server = config.getCurrentCluster()?.server?.replace(/\/+$/, '') ?? ''
  const credentials = createCredentialSource(config)

  async function open(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
    signal: AbortSignal,
  ) {
    const { headers: login, dispatcher } = await credentials.use()
    const json = body === undefined ? {} : { 'content-type': 'application/json' }
    const common = { accept: 'application/json', 'user-agent': 'conformance/1' }
    return request(`${server}${path}`, {
      method: method as 'GET',
      dispatcher,
      signal,
      bodyTimeout: 0,
      headers: { ...common, ...login, ...json, ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  }

  return {
    async send(method, path, body, headers = {}) {
      const response = await open(method, path, body, headers, AbortSignal.timeout(patienceMs))
      const text = await response.body.text()
      return { code: response.statusCode, body: parse(text), text }
    },
    async watch(path) {
      const stop = new AbortController()
      const response = await open('GET', path, undefined, {}, stop.signal)
      const frames = readFrames(response.body)
      const next = async (withBookmarks = false): Promise<Frame | undefined> => {
        for (;;) {
          const frame = await within(frames.next())
          if (frame.done) return undefined
          if (withBookmarks || frame.value.type !== 'BOOKMARK') return frame.value
        }
      }
      return {
        code: response.statusCode,
        next,
        async rest() {
          const all: Frame[] = []
          for (let frame = await next(true); frame !== undefined; frame = await next(true)) all.push(frame)
          return all
        },
        close: () => stop.abort(),
      }
    },
    close: credentials.close,
  }
}

async function* readFrames(body: Readable): AsyncGenerator<Frame, undefined> {
  let tail = ''
  body.setEncoding('utf8')
  try {
    for await (const chunk of body) {
      const lines = (tail + chunk).split('\n')
      tail = lines.pop() ?? ''
      for (const line of lines) if (line !== '') yield JSON.parse(line) as Frame
    }
  } catch (error) {
    // The row closed it.
    if ((error as Error).name !== 'AbortError') throw error
  }
  return undefined
}

function parse(text: string): Body {
  try {
    return JSON.parse(text) as Body
  } catch {
    // Some refusals are plain text; the row sees it in `text`.
    return {}
  }
}

async function within<T>(promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no frame within ${patienceMs / 1000} s`)), patienceMs)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
