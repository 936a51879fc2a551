import type { AddressInfo } from 'node:net'
import { createAuthenticator, type TokenUser } from './authentication.ts'
import { bootstrapCluster } from './bootstrap.ts'
import { type Clock, systemClock } from './clock.ts'
import { createPodActions } from './pod-actions.ts'
import { createRandom } from './random.ts'
import { createAuthorizer } from './rbac.ts'
import { createRemover } from './remove.ts'
import { builtinResources, type Resource } from './resources.ts'
import { createReviewer } from './reviews.ts'
import { createApiServer } from './server.ts'
import { createStore, type Store } from './store.ts'
import { startWorld } from './world/world.ts'
import { createWriter } from './write.ts'

export { defineResource } from './resources.ts'

export interface SandboxOptions {
  /** TCP port; 0, the default, takes a free one. */
  port?: number
  /** A loopback address; the default is 127.0.0.1. */
  host?: string
  /** The same seed gives the same names, shapes and choices in the same order. */
  seed?: number
  /** Pod events per second that the living world aims at; 0 is a world that moves only when users move it. */
  rate?: number
  /** Events per resource that a watch can go back to before it gets 410. */
  history?: number
  /** Keep all events for `store.history`, not only those in the window. Costs memory for ever; off in `main.ts`. */
  keepHistory?: boolean
  /** Milliseconds between bookmarks. */
  bookmarkInterval?: number
  /** Frames that may wait for a watcher that does not read, before it is cut off. */
  watchBuffer?: number
  /** Milliseconds that a full watcher has to read at least something. */
  watchPatience?: number
  /** Milliseconds to wait for a resourceVersion from the future before 504. */
  freshnessPatience?: number
  /** Bearer tokens and who they belong to. */
  tokens?: Readonly<Record<string, TokenUser>>
  /** False: no nodes, pods, leases, scheduler or kubelets, only the API server. */
  world?: boolean
  /** More resources, as CustomResourceDefinitions would add. */
  resources?: readonly Resource[]
  clock?: Clock
}

/** A running sandbox cluster. */
export interface Sandbox {
  /** `http://127.0.0.1:PORT` */
  url: string
  port: number
  /** Direct access to objects, events and resourceVersions, past HTTP and validation. */
  store: Store
  /** A kubeconfig document (YAML that is also JSON) with the administrator and one user per token. */
  kubeconfig(): string
  /** Ends watches cleanly, closes the socket and stops the world. */
  stop(): Promise<void>
}

function writeKubeconfig(url: string, tokens: readonly string[]): string {
  const users = [{ name: 'admin', user: {} }, ...tokens.map((token) => ({ name: token, user: { token } }))]
  return JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'sandbox', cluster: { server: url } }],
      users,
      contexts: users.map(({ name }) => ({
        name: name === 'admin' ? 'sandbox' : name,
        context: { cluster: 'sandbox', user: name, namespace: 'default' },
      })),
      'current-context': 'sandbox',
    },
    null,
    2,
  )
}

const loopback = new Set(['127.0.0.1', '::1', 'localhost'])

/**
 * Starts an API server and, unless told otherwise, a small living cluster behind it.
 * @throws RangeError for a host that is not loopback: anonymous requests have full rights here.
 * @example
 * const sandbox = await createSandbox({ rate: 0 })
 * const pods = await fetch(`${sandbox.url}/api/v1/pods`)
 * await sandbox.stop()
 */
export async function createSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', seed = 1, clock = systemClock, tokens = {} } = options
  if (!loopback.has(host))
    throw new RangeError(`the sandbox trusts everyone who connects, so it cannot listen on ${host}`)
  // One stream each, so that what requests consume does not change what the world does.
  const [forObjects, forRequests, forWorld] = [createRandom(seed), createRandom(seed + 1), createRandom(seed + 2)]
  const resources = [...builtinResources, ...(options.resources ?? [])]
  const store = createStore({
    clock,
    random: forObjects,
    resources,
    window: options.history ?? 10_000,
    keepHistory: options.keepHistory ?? true,
  })
  const writer = createWriter(store, clock, forObjects)
  const remove = createRemover(store, clock)
  const pods = createPodActions(store, writer, remove, clock)
  const authenticator = createAuthenticator(tokens, store, clock, forRequests)
  const authorizer = createAuthorizer(store)
  const freshnessPatience = options.freshnessPatience ?? 3000
  bootstrapCluster(store, writer)
  const stopWorld =
    options.world === false
      ? () => undefined
      : startWorld({ store, writer, remove, pods, clock, random: forWorld, rate: options.rate ?? 5 })
  // A cluster that has been up for a while remembers nothing of its making.
  store.compact()

  const api = createApiServer({
    store,
    clock,
    writer,
    remove,
    pods,
    authenticator,
    authorizer,
    random: forRequests,
    review: createReviewer(authenticator, authorizer, clock),
    freshnessPatience,
    watch: {
      buffer: options.watchBuffer ?? 1000,
      patience: options.watchPatience ?? 1000,
      bookmarkInterval: options.bookmarkInterval ?? 60_000,
      freshnessPatience,
    },
  })
  await new Promise<void>((resolve, reject) => {
    api.server.once('error', (error) => {
      stopWorld()
      reject(error)
    })
    api.server.listen(options.port ?? 0, host, resolve)
  })
  const { port } = api.server.address() as AddressInfo
  const url = `http://${host === '::1' ? '[::1]' : host}:${port}`
  return {
    url,
    port,
    store,
    kubeconfig: () => writeKubeconfig(url, Object.keys(tokens)),
    stop: () =>
      new Promise((resolve) => {
        stopWorld()
        api.server.close(() => resolve())
        api.endWatches()
        api.server.closeIdleConnections()
        // What a client keeps open after its answer is not worth waiting for.
        setTimeout(() => api.server.closeAllConnections(), 200).unref()
      }),
  }
}
