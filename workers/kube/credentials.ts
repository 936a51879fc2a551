import { createHash } from 'node:crypto'
import type { RequestOptions } from 'node:https'
import { KubeConfig } from '@kubernetes/client-node'
import { Agent, type Dispatcher, ProxyAgent, Socks5ProxyAgent } from 'undici'

/** How long credentials are used before they are read again, so that rotated tokens and certificates take effect (client-go: 60 s). */
const freshMs = 60_000
/** How long an exec plugin may take, in ms: one that waits for a person at a terminal would hold up every request. */
const patienceMs = 30_000
/** TCP keepalive begins after this silence, in ms: sooner than load balancers forget a connection. */
const keepAliveMs = 30_000

/** What lets a request in, and by which way it goes. */
export interface Credentials {
  headers: Record<string, string>
  dispatcher: Dispatcher
}

/** The credentials of one kubeconfig context, kept up to date without a restart (R64, R66). */
export interface CredentialSource {
  /**
   * The credentials of the moment: read again when they are a minute old, when an exec plugin's have expired, or after `renew`.
   * When reading fails, those from before stay good: a token file is caught in the middle of its rotation sooner or later.
   * @throws when they cannot be read and never were.
   */
  use(): Promise<Credentials>
  /** Forgets what is cached, an exec plugin's answer included. */
  renew(): void
  /** Ends all connections. */
  close(): Promise<void>
}

type Kept = Credentials & { identity: string; readAt: number }

/** Creates the source. Exec plugins, token files, client certificates and proxies are as the kubeconfig names them. */
export function createCredentialSource(config: KubeConfig, now: () => number = Date.now): CredentialSource {
  const user = config.getCurrentUser()
  const isFromPlugin = Boolean(user?.exec)
  const isFromFile = Boolean(user?.authProvider?.config?.tokenFile)
  /** Caches an exec plugin's answer until that expires. */
  let reader = copyConfig(config)
  let kept: Kept | undefined
  let pending: Promise<Kept> | undefined

  async function read(): Promise<Kept> {
    // Its cache of a token file has an age of its own; a copy has none.
    if (isFromFile) reader = copyConfig(config)
    const options: RequestOptions = {}
    await within(patienceMs, reader.applyToHTTPSOptions(options))
    const headers = readHeaders(options)
    if (isFromFile && (headers.authorization ?? 'Bearer') === 'Bearer') throw new Error('the token file is empty')
    const proxy = config.getCurrentCluster()?.proxyUrl
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options
    const identity = digest([ca, cert, key, pfx, passphrase])
    if (kept?.identity === identity) return { headers, dispatcher: kept.dispatcher, identity, readAt: now() }
    // Connections are made under certificates: new ones need new connections, while the old ones may finish.
    void kept?.dispatcher.close()
    const tls = omitMissing({ ca, cert, key, pfx, passphrase, rejectUnauthorized, servername })
    return { headers, dispatcher: createDispatcher(tls, proxy), identity, readAt: now() }
  }

  return {
    async use() {
      const isFresh = kept !== undefined && now() - kept.readAt < freshMs
      if (kept !== undefined && isFresh && !isFromPlugin) return kept
      pending ??= read().finally(() => {
        pending = undefined
      })
      try {
        kept = await pending
      } catch (error) {
        if (kept === undefined) throw error
      }
      return kept
    },
    renew() {
      reader = copyConfig(config)
      if (kept !== undefined) kept.readAt = Number.NEGATIVE_INFINITY
    },
    async close() {
      await kept?.dispatcher.destroy()
    },
  }
}

/** One connection per watch: over HTTP/2 all of them would share one, and break together (R73). */
function createDispatcher(tls: object, proxy: string | undefined): Dispatcher {
  const connect = { ...tls, allowH2: false, keepAlive: true, keepAliveInitialDelay: keepAliveMs }
  if (proxy === undefined || proxy === '') return new Agent({ connect, allowH2: false })
  if (proxy.startsWith('socks')) {
    return new Socks5ProxyAgent(proxy.replace(/^socks5?h?:/, 'socks5:'), { requestTls: connect, allowH2: false })
  }
  return new ProxyAgent({ uri: proxy, requestTls: connect, allowH2: false })
}

/** A copy without what the authenticators have cached. */
function copyConfig(config: KubeConfig): KubeConfig {
  const copy = new KubeConfig()
  copy.loadFromOptions({
    clusters: config.clusters,
    users: config.users,
    contexts: config.contexts,
    currentContext: config.currentContext,
  })
  return copy
}

function readHeaders({ headers, auth }: RequestOptions): Record<string, string> {
  const basic = auth ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {}
  // A token file may hold spaces and newlines around the token, which no header may.
  const given = Object.entries(headers ?? {}).map(([name, value]) => [
    name.toLowerCase(),
    String(value)
      .trim()
      .replace(/^Bearer\s+/, 'Bearer '),
  ])
  return { ...basic, ...Object.fromEntries(given) }
}

function omitMissing(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined && value !== null))
}

function digest(parts: unknown[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part instanceof Uint8Array ? part : String(part)).update('\0')
  return hash.digest('hex')
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`credentials: no answer within ${ms / 1000} s`)), ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
