import { createHash } from 'node:crypto'
import type { RequestOptions } from 'node:https'
import type { Readable } from 'node:stream'
import { HttpMethod, type KubeConfig, RequestContext } from '@kubernetes/client-node'
import { Agent, type Dispatcher, request } from 'undici'

/** How long credentials are used before they are read again, so that rotated tokens and certificates take effect (client-go: 60 s). */
const credentialsMs = 60_000

/** A response as it arrives; whoever asked must read or destroy the body. */
export interface KubeResponse {
  status: number
  /** Seconds, from `Retry-After`. */
  retryAfter?: number
  body: Readable
}

/** Requests to one API server with the credentials of one kubeconfig context. */
export interface KubeClient {
  /** The API server's URL. */
  server: string
  /**
   * Sends a GET.
   * @param query parameters; the undefined ones are left out.
   * @param options.headersMs how long until the first byte; a watch has no limit on its body.
   * @throws the connection's error, with a `code` such as `ECONNREFUSED`.
   */
  get(
    path: string,
    query: Readonly<Record<string, string | number | boolean | undefined>>,
    options: { signal: AbortSignal; headersMs?: number },
  ): Promise<KubeResponse>
  /** Reads the credentials again before the next request; for a 401. */
  renewCredentials(): void
  close(): Promise<void>
}

interface Credentials {
  headers: Record<string, string>
  dispatcher: Dispatcher
  /** Digest of certificates and trust: while it stays, so do the connections. */
  identity: string
  readAt: number
}

/** Creates a client from a loaded kubeconfig: exec plugins, token files, client certificates and proxies are its business. */
export function createKubeClient(config: KubeConfig, userAgent: string): KubeClient {
  const server = config.getCurrentCluster()?.server?.replace(/\/+$/, '')
  if (server === undefined) throw new Error('The kubeconfig context names no cluster')
  let credentials: Credentials | undefined
  let pending: Promise<Credentials> | undefined

  async function readCredentials(): Promise<Credentials> {
    // The options tell whether certificates changed; only then is a new dispatcher, and with it a new connection, needed.
    const options: RequestOptions = {}
    await config.applyToHTTPSOptions(options)
    const identity = digest([options.ca, options.cert, options.key, options.pfx])
    const context = new RequestContext(server ?? '', HttpMethod.GET)
    await config.applySecurityAuthentication(context)
    const kept = credentials?.identity === identity ? credentials.dispatcher : undefined
    const dispatcher = kept ?? context.getDispatcher() ?? new Agent({ connect: { keepAlive: true } })
    if (kept === undefined) void credentials?.dispatcher.close()
    const headers = Object.fromEntries(
      Object.entries(context.getHeaders()).map(([name, value]) => [name, value.trim()]),
    )
    return { headers, dispatcher, identity, readAt: Date.now() }
  }

  async function useCredentials(): Promise<Credentials> {
    if (credentials !== undefined && Date.now() - credentials.readAt < credentialsMs) return credentials
    pending ??= readCredentials().finally(() => {
      pending = undefined
    })
    try {
      credentials = await pending
    } catch (error) {
      // A token file caught in the middle of its rotation must not stop a watcher whose old token still works.
      if (credentials === undefined) throw error
    }
    return credentials
  }

  return {
    server,
    async get(path, query, options) {
      const { headers, dispatcher } = await useCredentials()
      const url = new URL(`${server}${path}`)
      for (const [name, value] of Object.entries(query)) {
        if (value !== undefined) url.searchParams.set(name, String(value))
      }
      const response = await request(url, {
        dispatcher,
        signal: options.signal,
        headers: { ...headers, accept: 'application/json', 'user-agent': userAgent },
        headersTimeout: options.headersMs ?? 60_000,
        bodyTimeout: 0,
      })
      const retryAfter = Number(response.headers['retry-after'])
      return {
        status: response.statusCode,
        body: response.body,
        ...(Number.isFinite(retryAfter) && retryAfter >= 0 ? { retryAfter } : {}),
      }
    },
    renewCredentials() {
      if (credentials !== undefined) credentials.readAt = 0
    },
    async close() {
      await credentials?.dispatcher.destroy()
    },
  }
}

function digest(parts: unknown[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part instanceof Uint8Array ? part : String(part)).update('\0')
  return hash.digest('hex')
}
