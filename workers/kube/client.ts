import type { Readable } from 'node:stream'
import type { KubeConfig } from '@kubernetes/client-node'
import { request } from 'undici'
import { createCredentialSource } from './credentials.ts'

/** A response as it arrives; whoever asked must read or destroy the body. */
export interface KubeResponse {
  status: number
  /** Seconds, from `Retry-After`. */
  retryAfter?: number
  body: Readable
}

/** A client that also writes. */
export interface KubeWriter extends KubeClient {
  /**
   * Sends any request, with `body` as JSON.
   * @throws as `get` does.
   */
  send(
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    query: Readonly<Record<string, string | number | boolean | undefined>>,
    body: unknown,
    options: { signal: AbortSignal; headersMs?: number; accept?: string },
  ): Promise<KubeResponse>
}

/** Requests to one API server with the credentials of one kubeconfig context. */
export interface KubeClient {
  /** The API server's URL. */
  server: string
  /**
   * Sends a GET.
   * @param query parameters; the undefined ones are left out.
   * @param options.accept media types, other than plain JSON.
   * @param options.headersMs how long until the first byte; a watch has no limit on its body.
   * @throws the connection's error, with a `code` such as `ECONNREFUSED`.
   */
  get(
    path: string,
    query: Readonly<Record<string, string | number | boolean | undefined>>,
    options: { signal: AbortSignal; headersMs?: number; accept?: string },
  ): Promise<KubeResponse>
  /** Reads the credentials again before the next request; for a 401. */
  renewCredentials(): void
  close(): Promise<void>
}

/**
 * Creates a client from a loaded kubeconfig.
 * @param now ms since 1970, by which credentials grow old.
 */
export function createKubeClient(config: KubeConfig, userAgent: string, now: () => number = Date.now): KubeWriter {
  const server = config.getCurrentCluster()?.server?.replace(/\/+$/, '')
  if (server === undefined) throw new Error('The kubeconfig context names no cluster')
  const credentials = createCredentialSource(config, now)

  return {
    server,
    get: (path, query, options) => send('GET', path, query, undefined, options),
    send,
    renewCredentials: credentials.renew,
    close: credentials.close,
  }

  async function send(...[method, path, query, body, options]: Parameters<KubeWriter['send']>): Promise<KubeResponse> {
    const { signal } = options
    const { headers, dispatcher } = await abortable(credentials.use(), signal)
    const url = new URL(`${server}${path}`)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    try {
      const response = await request(url, {
        dispatcher,
        signal,
        method,
        headers: {
          ...headers,
          accept: options.accept ?? 'application/json',
          'user-agent': userAgent,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        headersTimeout: options.headersMs ?? 60_000,
        bodyTimeout: 0,
      })
      const retryAfter = Number(response.headers['retry-after'])
      return {
        status: response.statusCode,
        body: response.body,
        ...(Number.isFinite(retryAfter) && retryAfter >= 0 ? { retryAfter } : {}),
      }
    } catch (error) {
      // The server's certificate may be of a new authority, or ours expired; the next try knows the new ones.
      if (isAboutCertificates(error)) credentials.renew()
      throw error
    }
  }
}

function isAboutCertificates(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return /CERT|TLS|SSL|UNABLE_TO|SIGNATURE/.test(code)
}

/** A plugin that takes its time must not hold up a stop (R27). */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
