import type { KubeClient, KubeResponse } from '../../workers/kube/client.ts'
import type { KubeObject } from '../../workers/kube/object.ts'
import { type Cluster, type Collection, collections, isSelected, project } from './cluster.ts'
import { hits, type RequestFault, type RequestKind, type WatchFault } from './faults.ts'
import { openPipe, type Pipe } from './pipe.ts'
import type { ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

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

interface Watch {
  gate: ProcessGate
  pipe: Pipe
  collection: Collection
  selector: string | undefined
  /** The last version that was sent, or asked for. */
  sent: number
  /** How far behind the cluster this replica is, ms. */
  lag: number
  isPumping: boolean
  /** The frames of late, for duplicates. */
  recent: string[]
}

const bookmarkMs = 60_000
const headersMs = 60_000

const paths: Record<string, Collection> = {
  '/api/v1/pods': 'pods',
  '/apis/coordination.k8s.io/v1/leases': 'leases',
}
const kinds: Record<Collection, { kind: string; apiVersion: string }> = {
  pods: { kind: 'Pod', apiVersion: 'v1' },
  leases: { kind: 'Lease', apiVersion: 'coordination.k8s.io/v1' },
}

/** Creates the server of a cluster. */
export function createApiServer(deps: {
  cluster: Cluster
  scheduler: Scheduler
  random: Random
  abilities: Abilities
}): ApiServer {
  const { cluster, scheduler, random, abilities } = deps
  const armed: { fault: RequestFault; times: number }[] = []
  const poisoned = new Map<number, number>()
  const exercised = new Map<string, number>()
  let watches: Watch[] = []
  let downUntil = 0

  const count = (name: string) => exercised.set(name, (exercised.get(name) ?? 0) + 1)

  function take(kind: RequestKind): RequestFault | undefined {
    const index = armed.findIndex(({ fault }) => hits(fault, kind))
    const found = armed[index]
    if (found === undefined) return undefined
    if (--found.times <= 0) armed.splice(index, 1)
    return found.fault
  }

  cluster.onChange = () => {
    for (const watch of watches) schedulePump(watch)
  }

  function schedulePump(watch: Watch): void {
    if (watch.isPumping || !watch.pipe.isOpen) return
    watch.isPumping = true
    scheduler.after(random.int(1, 30) + watch.lag, () => {
      watch.isPumping = false
      pump(watch)
    })
  }

  function pump(watch: Watch): void {
    if (!watch.pipe.isOpen) return
    const visible = scheduler.now() - watch.lag
    for (const version of cluster.since(watch.collection, watch.sent)) {
      if (version.at > visible) {
        schedulePump(watch)
        return
      }
      watch.sent = version.rv
      const seen = project(version, watch.selector)
      if (seen === undefined) continue
      const times = poisoned.get(version.rv) ?? 0
      if (times > 0) {
        poisoned.set(version.rv, times - 1)
        count('poison')
        watch.pipe.write(random.chance(0.5) ? '{"type":"MODIFIED","object":{"metad\n' : frame('SYNC', seen.object))
        return
      }
      send(watch, frame(seen.type, withKind(watch.collection, seen.object)))
    }
  }

  function send(watch: Watch, text: string): void {
    watch.recent = [...watch.recent.slice(-3), text]
    watch.pipe.write(text)
  }

  /** A bookmark, where everything before it was sent. */
  function bookmark(watch: Watch): void {
    pump(watch)
    const isBehind = watch.isPumping || watch.lag > 0 || watch.sent > cluster.head()
    if (!isBehind && watch.pipe.isOpen && abilities.bookmarks) {
      count('bookmark')
      watch.pipe.write(
        frame('BOOKMARK', {
          ...kinds[watch.collection],
          metadata: { resourceVersion: String(Math.max(watch.sent, cluster.head())) },
        }),
      )
    }
  }

  function openWatch(
    gate: ProcessGate,
    pipe: Pipe,
    collection: Collection,
    query: Query,
    sent: number,
    lag: number,
  ): void {
    const watch: Watch = {
      gate,
      pipe,
      collection,
      selector: query.labelSelector as string | undefined,
      sent,
      lag,
      isPumping: false,
      recent: [],
    }
    watches.push(watch)
    schedulePump(watch)
    const deadline = Number(query.timeoutSeconds ?? 1800) * 1000
    const beat = () =>
      scheduler.after(bookmarkMs, () => {
        if (!pipe.isOpen) return
        bookmark(watch)
        beat()
      })
    beat()
    scheduler.after(deadline - 2000, () => bookmark(watch))
    scheduler.after(deadline, () => pipe.end())
  }

  function answer(
    gate: ProcessGate,
    path: string,
    query: Query,
    pipe: Pipe,
    fault: RequestFault | undefined,
  ): Omit<KubeResponse, 'body'> {
    const refusal = fault === undefined ? undefined : refuse(fault, pipe)
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
    if (isStreaming && !abilities.streamingLists) {
      return sendStatus(pipe, 422, 'Invalid', 'sendInitialEvents is forbidden for watch')
    }
    if (fault === 'unsupported-event') {
      pipe.write(frame('ERROR', status(500, 'InternalError', 'cannot stream the list')))
      pipe.end()
      return { status: 200 }
    }
    if (fault === 'ignores-streaming') {
      openWatch(gate, pipe, collection, {}, Number.POSITIVE_INFINITY, 0)
      return { status: 200 }
    }
    if (!isStreaming) {
      if (asked < cluster.compacted()) {
        count('compacted')
        return expire(pipe, random.chance(0.5))
      }
      openWatch(gate, pipe, collection, query, asked, lag)
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
    openWatch(gate, pipe, collection, query, rv, lag)
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

  function expire(pipe: Pipe, asEvent: boolean): Omit<KubeResponse, 'body'> {
    if (!asEvent) return sendStatus(pipe, 410, 'Expired', 'too old resource version')
    pipe.write(frame('ERROR', status(410, 'Expired', 'too old resource version')))
    pipe.end()
    return { status: 200 }
  }

  /** The faults that are the same for every request. */
  function refuse(fault: RequestFault, pipe: Pipe): Omit<KubeResponse, 'body'> | undefined {
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
          const pipe = openPipe({ scheduler, random, gate, signal, onClose: forget })
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

  function forget(): void {
    watches = watches.filter(({ pipe }) => pipe.isOpen)
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
    hit(fault, which) {
      const watch = watches[which % Math.max(1, watches.length)]
      if (watch === undefined) return
      count(fault)
      hitWatch(watch, fault)
    },
    poison(rv, times) {
      poisoned.set(rv, times)
    },
    goDown(ms) {
      count('down')
      downUntil = scheduler.now() + ms
      for (const { pipe } of [...watches]) pipe.reset()
    },
    drop(gate) {
      for (const watch of watches.filter((one) => one.gate === gate)) watch.pipe.stall()
      watches = watches.filter((one) => one.gate !== gate)
    },
    heal() {
      armed.length = 0
      poisoned.clear()
      downUntil = 0
    },
    exercised,
  }

  function hitWatch(watch: Watch, fault: WatchFault): void {
    const { pipe, collection } = watch
    const some = withKind(collection, {
      metadata: { name: 'odd', uid: 'odd', resourceVersion: String(watch.sent + 1) },
    })
    switch (fault) {
      case 'cut':
        pipe.reset()
        break
      case 'close':
        pipe.end()
        break
      case 'cut-frame': {
        const whole = frame('MODIFIED', some)
        pipe.write(whole.slice(0, random.int(1, whole.length - 2)))
        if (random.chance(0.5)) pipe.end()
        else pipe.reset()
        break
      }
      case 'half-open':
        pipe.stall()
        break
      case 'garbage':
        pipe.write('\u0000\u0001<html>\n')
        break
      case 'unknown-type':
        pipe.write(frame('SYNC', some))
        break
      case 'no-version':
        pipe.write(frame('MODIFIED', { metadata: { name: 'odd', uid: 'odd' } }))
        break
      case 'table':
        pipe.write(frame('ADDED', { ...some, kind: 'Table' }))
        break
      case 'expired-frame':
        pipe.write(frame('ERROR', status(410, 'Expired', 'too old resource version')))
        break
      case 'busy-frame':
        pipe.write(frame('ERROR', status(429, 'TooManyRequests')))
        break
      case 'server-error-frame':
        pipe.write(frame('ERROR', status(500, 'InternalError')))
        break
      case 'odd-error-frame':
        pipe.write(frame('ERROR', { hello: 'world' }))
        break
      case 'duplicates':
        pipe.write(watch.recent.join(''))
        break
    }
  }
}

function kindOf(path: string, query: Query): RequestKind {
  if (path.endsWith('/kube-system')) return 'cluster'
  if (paths[path] === undefined) return 'object'
  if (query.watch === true) return query.sendInitialEvents === true ? 'streaming' : 'watch'
  return query.limit === 1 ? 'probe' : 'list'
}

function withKind(collection: Collection, object: KubeObject): KubeObject {
  return { ...kinds[collection], ...object }
}

function frame(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`
}

function status(code: number, reason: string, message = reason) {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message }
}

function sendAll(pipe: Pipe, value: unknown): { status: number } {
  pipe.write(JSON.stringify(value))
  pipe.end()
  return { status: 200 }
}

function sendStatus(pipe: Pipe, code: number, reason: string, message = reason, more: object = {}): { status: number } {
  pipe.write(JSON.stringify({ ...status(code, reason, message), ...more }))
  pipe.end()
  return { status: code }
}

function tooLarge(pipe: Pipe): { status: number } {
  const cause = { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }
  return sendStatus(pipe, 504, 'Timeout', 'Timeout: Too large resource version: 9, current: 3', {
    details: { causes: [cause], retryAfterSeconds: 1 },
  })
}
