import type { KubeClient, KubeResponse } from '../../workers/kube/client.ts'
import { type Cluster, type Collection, collections, isSelected } from './cluster.ts'
import { hits, type RequestFault, type RequestKind, type WatchFault } from './faults.ts'
import { openPipe, type Pipe } from './pipe.ts'
import type { ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import { createWatches } from './watches.ts'
import { expire, frame, kinds, paths, sendAll, sendStatus, status, tooLarge, withKind } from './wire.ts'

type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** A simulated API server: answers in bytes, and misbehaves as it is told to. */
export interface ApiServer {
  /** The client of one process. */
  connect(gate: ProcessGate): KubeClient
  /** The next requests that this fault can hit will be hit. */
  arm(fault: RequestFault, times: number): void
  /** Hits a watch that is open, if there is one. */
  hit(fault: WatchFault, which: number): void
  /** The frame of this version cannot be read, so many times. */
  poison(rv: number, times: number): void
  /** Breaks every connection, and accepts none for a while. */
  goDown(ms: number): void
  /** Ends the connections of a process that is gone. */
  drop(gate: ProcessGate): void
  /** Everything works from now on. */
  heal(): void
  /** How often each fault really hit. */
  readonly exercised: Map<string, number>
}

/** What this server can do; old ones cannot do all. */
export interface Abilities {
  streamingLists: boolean
  bookmarks: boolean
}

const headersMs = 60_000

/** Creates the server of a cluster. */
export function createApiServer(deps: {
  cluster: Cluster
  scheduler: Scheduler
  random: Random
  abilities: Abilities
}): ApiServer {
  const { cluster, scheduler, random, abilities } = deps
  const armed: { fault: RequestFault; times: number }[] = []
  const exercised = new Map<string, number>()
  let downUntil = 0

  const count = (name: string) => void exercised.set(name, (exercised.get(name) ?? 0) + 1)
  const watches = createWatches({ cluster, scheduler, random, bookmarks: abilities.bookmarks, count })

  function take(kind: RequestKind): RequestFault | undefined {
    const index = armed.findIndex(({ fault }) => hits(fault, kind))
    const found = armed[index]
    if (found === undefined) return undefined
    if (--found.times <= 0) armed.splice(index, 1)
    return found.fault
  }

  function answer(
    gate: ProcessGate,
    path: string,
    query: Query,
    pipe: Pipe,
    fault: RequestFault | undefined,
  ): Omit<KubeResponse, 'body'> {
    const refusal = fault === undefined ? undefined : refuse(fault, pipe, random)
    if (refusal !== undefined) return refusal
    if (path.endsWith('/kube-system')) return sendAll(pipe, { metadata: { uid: cluster.uid } })
    const collection = paths[path]
    if (collection === undefined) return sendObject(path, pipe)
    if (query.watch !== true) return list(collection, query, pipe, fault)
    return watch(gate, collection, query, pipe, fault)
  }

  function watch(
    gate: ProcessGate,
    collection: Collection,
    query: Query,
    pipe: Pipe,
    fault: RequestFault | undefined,
  ): Omit<KubeResponse, 'body'> {
    const isStreaming = query.sendInitialEvents === true
    const lag = fault === 'stale-replica' ? random.int(500, 20_000) : 0
    const asked = Number(query.resourceVersion ?? 0)
    const selector = query.labelSelector as string | undefined
    const request = { gate, pipe, collection, selector, lag, timeoutSeconds: Number(query.timeoutSeconds ?? 1800) }
    if (isStreaming && !abilities.streamingLists) {
      return sendStatus(pipe, 422, 'Invalid', 'sendInitialEvents is forbidden for watch')
    }
    if (fault === 'unsupported-event') {
      pipe.write(frame('ERROR', status(500, 'InternalError', 'cannot stream the list')))
      pipe.end()
      return { status: 200 }
    }
    if (fault === 'ignores-streaming') {
      watches.open({ ...request, sent: Number.POSITIVE_INFINITY, lag: 0, selector: undefined, timeoutSeconds: 1800 })
      return { status: 200 }
    }
    if (!isStreaming) {
      if (asked < cluster.compacted()) {
        count('compacted')
        return expire(pipe, random.chance(0.5))
      }
      watches.open({ ...request, sent: asked })
      return { status: 200 }
    }
    const rv = visibleHead(lag, asked)
    if (asked > rv) return tooLarge(pipe)
    for (const object of cluster.list(collection, rv)) {
      if (!isSelected(object, query.labelSelector as string | undefined)) continue
      pipe.write(frame('ADDED', withKind(collection, object)))
    }
    if (random.chance(0.2)) pipe.write(frame('BOOKMARK', { metadata: { resourceVersion: String(rv) } }))
    pipe.write(
      frame('BOOKMARK', {
        ...kinds[collection],
        metadata: { resourceVersion: String(rv), annotations: { 'k8s.io/initial-events-end': 'true' } },
      }),
    )
    watches.open({ ...request, sent: rv })
    return { status: 200 }
  }

  /** What a replica knows; where the newest is asked for, even one that lags asks etcd. */
  function visibleHead(lag: number, asked: number): number {
    if (lag === 0 || asked === 0) return cluster.head()
    const visible = scheduler.now() - lag
    const seen = collections.flatMap((collection) => cluster.since(collection, 0)).filter(({ at }) => at <= visible)
    return Math.max(100, ...seen.map(({ rv }) => rv))
  }

  function list(
    collection: Collection,
    query: Query,
    pipe: Pipe,
    fault: RequestFault | undefined,
  ): Omit<KubeResponse, 'body'> {
    const [tokenRv, tokenKey] = typeof query.continue === 'string' ? query.continue.split(':') : []
    if (tokenRv !== undefined && (Number(tokenRv) < cluster.compacted() || fault === 'mid-list-expired')) {
      count(fault ?? 'compacted')
      return sendStatus(pipe, 410, 'Expired', 'The provided continue parameter is too old', {
        metadata: { continue: `${cluster.head()}:${tokenKey}` },
      })
    }
    const asked = Number(query.resourceVersion ?? 0)
    const visible = visibleHead(fault === 'stale-replica' ? random.int(500, 20_000) : 0, asked)
    if (asked > visible) return tooLarge(pipe)
    const rv = tokenRv === undefined ? visible : Number(tokenRv)
    const found = cluster
      .list(collection, rv)
      .filter((object) => isSelected(object, query.labelSelector as string | undefined))
      .filter((object) => tokenKey === undefined || (object.metadata?.name ?? '') > tokenKey)
    // The server may give fewer than it is asked for; here it does, so that small lists have pages as well.
    const isProbe = query.limit === 1
    const limit = query.limit === undefined || fault === 'ignores-limit' ? found.length : isProbe ? 1 : 3
    const items = found.slice(0, limit).map(({ kind: _, apiVersion: __, ...item }) => item)
    const last = items.at(-1)?.metadata?.name ?? ''
    const disagrees = fault === 'pages-disagree' && tokenRv !== undefined
    const metadata = {
      resourceVersion: String(disagrees ? rv + 1 : rv),
      ...(found.length > items.length ? { continue: `${rv}:${last}` } : {}),
    }
    const { kind, apiVersion } = kinds[collection]
    const text = JSON.stringify(
      random.chance(0.8)
        ? { kind: `${kind}List`, apiVersion, metadata, items }
        : { items, metadata, kind: `${kind}List` },
    )
    if (fault === 'cut-list' || fault === 'reset-list') {
      pipe.write(text.slice(0, random.int(1, text.length - 1)))
      if (fault === 'cut-list') pipe.end()
      else pipe.reset()
      return { status: 200 }
    }
    pipe.write(text)
    pipe.end()
    return { status: 200 }
  }

  function sendObject(path: string, pipe: Pipe): Omit<KubeResponse, 'body'> {
    const [, root, , collection, name] = /^(.*)\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(path) ?? []
    const object =
      root === undefined ? undefined : cluster.find(collection as Collection, `${path.split('/').at(-3)}/${name}`)
    return object === undefined ? sendStatus(pipe, 404, 'NotFound') : sendAll(pipe, object)
  }

  function get(
    gate: ProcessGate,
    path: string,
    query: Query,
    options: { signal: AbortSignal; headersMs?: number },
  ): Promise<KubeResponse> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      const fail = (code: string) => gate.deliver(() => reject(Object.assign(new Error(code), { code })))
      const abort = () => reject(Object.assign(new Error('aborted'), { name: 'AbortError' }))
      if (signal.aborted) return abort()
      signal.addEventListener('abort', abort, { once: true })
      const cancel = scheduler.after(options.headersMs ?? headersMs, () => fail('UND_ERR_HEADERS_TIMEOUT'))
      scheduler.after(random.int(1, 15), () => {
        if (signal.aborted || gate.isDead()) return cancel()
        if (scheduler.now() < downUntil) return fail('ECONNREFUSED')
        const fault = take(kindOf(path, query))
        if (fault !== undefined) count(fault)
        if (fault === 'refused') return fail('ECONNREFUSED')
        if (fault === 'reset') return fail('ECONNRESET')
        if (fault === 'no-answer') return
        const delay = fault === 'slow-headers' ? random.int(5000, 70_000) : random.int(1, 10)
        scheduler.after(delay, () => {
          if (signal.aborted || gate.isDead()) return cancel()
          if (scheduler.now() < downUntil) return fail('ECONNRESET')
          const pipe = openPipe({ scheduler, random, gate, signal, onClose: watches.tidy })
          const head = answer(gate, path, query, pipe, fault)
          gate.deliver(() => {
            cancel()
            signal.removeEventListener('abort', abort)
            resolve({ ...head, body: pipe.body })
          })
        })
      })
    })
  }

  return {
    connect: (gate) => ({
      server: 'https://simulated',
      get: (path, query, options) => get(gate, path, query, options),
      renewCredentials: () => undefined,
      close: async () => undefined,
    }),
    arm(fault, times) {
      armed.push({ fault, times })
    },
    hit: watches.hit,
    poison: watches.poison,
    goDown(ms) {
      count('down')
      downUntil = scheduler.now() + ms
      watches.resetAll()
    },
    drop: watches.drop,
    heal() {
      armed.length = 0
      watches.heal()
      downUntil = 0
    },
    exercised,
  }
}

function kindOf(path: string, query: Query): RequestKind {
  if (path.endsWith('/kube-system')) return 'cluster'
  if (paths[path] === undefined) return 'object'
  if (query.watch === true) return query.sendInitialEvents === true ? 'streaming' : 'watch'
  return query.limit === 1 ? 'probe' : 'list'
}

/** The faults that are the same for every request. */
function refuse(fault: RequestFault, pipe: Pipe, random: Random): Omit<KubeResponse, 'body'> | undefined {
  switch (fault) {
    case 'too-many':
      return { ...sendStatus(pipe, 429, 'TooManyRequests'), retryAfter: random.int(1, 5) }
    case 'unavailable':
      return { ...sendStatus(pipe, 503, 'ServiceUnavailable'), retryAfter: random.int(1, 5) }
    case 'server-error':
      return sendStatus(pipe, 500, 'InternalError', 'etcdserver: leader changed')
    case 'html':
      pipe.write('<html><body>502 Bad Gateway</body></html>')
      pipe.end()
      return { status: 502 }
    case 'unauthorized':
      return sendStatus(pipe, 401, 'Unauthorized')
    case 'forbidden':
      return sendStatus(pipe, 403, 'Forbidden')
    case 'not-found':
      return sendStatus(pipe, 404, 'NotFound')
    case 'expired':
      return expire(pipe, false)
    case 'expired-event':
      return expire(pipe, true)
    case 'too-large':
      return tooLarge(pipe)
    case 'quiet-close':
      pipe.end()
      return { status: 200 }
    case 'unsupported':
      return sendStatus(pipe, 422, 'Invalid', 'sendInitialEvents is forbidden for watch')
    default:
      return undefined
  }
}
