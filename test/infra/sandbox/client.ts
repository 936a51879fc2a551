import { readFileSync } from 'node:fs'
import http from 'node:http'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../../infra/sandbox/sandbox.ts'

/** One complete answer, as bytes on the wire became it. */
export interface Reply {
  code: number
  headers: http.IncomingHttpHeaders
  text: string
  json: Record<string, unknown>
}

export interface Ask {
  method?: string
  body?: unknown
  headers?: Record<string, string>
}

/** A raw HTTP/1.1 request: no redirects, no decompression, no headers that were not asked for. */
export function ask(url: string, { method = 'GET', body, headers = {} }: Ask = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers: { 'user-agent': 'test/1', ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        const isJson = String(response.headers['content-type']).startsWith('application/json')
        resolve({
          code: response.statusCode ?? 0,
          headers: response.headers,
          text,
          json: isJson ? JSON.parse(text) : {},
        })
      })
    })
    request.on('error', reject)
    if (body !== undefined) {
      if (headers['content-type'] === undefined) request.setHeader('content-type', 'application/json')
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      // Node frames the body of a DELETE only when told how long it is.
      request.setHeader('content-length', Buffer.byteLength(text))
      request.write(text)
    }
    request.end()
  })
}

interface Frame {
  type: string
  object: {
    kind: string
    metadata: {
      name?: string
      resourceVersion?: string
      annotations?: Record<string, string>
      labels?: Record<string, string>
    }
    [key: string]: unknown
  }
}

/** An open watch whose frames are taken one by one. */
export interface Watch {
  code: number
  headers: http.IncomingHttpHeaders
  /** The next line as it came; undefined at the end of the stream. */
  line(): Promise<string | undefined>
  next(): Promise<Frame>
  /** All lines until the server ends the stream. */
  rest(): Promise<string[]>
  abort(): void
}

export function watch(url: string, headers: Record<string, string> = {}): Promise<Watch> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers: { 'user-agent': 'test/1', ...headers } }, (response) => {
      const lines: string[] = []
      const takers: ((line: string | undefined) => void)[] = []
      let tail = ''
      let isOver = false
      const finish = () => {
        isOver = true
        for (const taker of takers.splice(0)) taker(undefined)
      }
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        const parts = (tail + chunk).split('\n')
        tail = parts.pop() ?? ''
        for (const part of parts) {
          const taker = takers.shift()
          if (taker === undefined) lines.push(part)
          else taker(part)
        }
      })
      response.on('end', finish)
      response.on('error', finish)
      const line = () =>
        new Promise<string | undefined>((take) => {
          const ready = lines.shift()
          if (ready !== undefined || isOver) take(ready)
          else takers.push(take)
        })
      resolve({
        code: response.statusCode ?? 0,
        headers: response.headers,
        line,
        async next() {
          const got = await line()
          if (got === undefined) throw new Error('the watch has ended')
          return JSON.parse(got) as Frame
        },
        async rest() {
          const all: string[] = []
          for (let got = await line(); got !== undefined; got = await line()) all.push(got)
          return all
        },
        abort: () => request.destroy(),
      })
    })
    request.on('error', reject)
  })
}

const recordings = new URL('../../recordings/', import.meta.url)

/** What a real API server said. */
export function recording(name: string): string {
  return readFileSync(new URL(name, recordings), 'utf8')
}

/** A sandbox without inhabitants, with the namespace `shop`. */
export async function startStill(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await createSandbox({ world: false, freshnessPatience: 50, ...options })
  sandbox.store.put('namespaces', { metadata: { name: 'shop' }, status: { phase: 'Active' } })
  return sandbox
}

/** A minimal pod body. */
export function podBody(name: string, labels: Record<string, string> = { app: 'web' }) {
  return { metadata: { name, labels }, spec: { containers: [{ name: 'c', image: 'busybox' }] } }
}
