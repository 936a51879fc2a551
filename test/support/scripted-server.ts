import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as a script sees it. */
export interface Asked {
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
}

/** Answers one request, in whatever broken way the test is about. */
export type Script = (asked: Asked, response: ServerResponse) => void | Promise<void>

/** An API server that says exactly what a test wants it to say, over a real socket. */
export interface ScriptedServer {
  url: string
  /** All requests so far, oldest first. */
  asked: Asked[]
  stop(): Promise<void>
}

/** Starts one; the script is called for each request. */
export async function startScriptedServer(script: Script): Promise<ScriptedServer> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    const one = { path: url.pathname, query: url.searchParams, headers: request.headers }
    asked.push(one)
    void Promise.resolve(script(one, response)).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** Sends a JSON answer. */
export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
}

/** Sends a Kubernetes Status. */
export function sendStatus(response: ServerResponse, code: number, reason: string, message = reason) {
  sendJson(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message })
}
