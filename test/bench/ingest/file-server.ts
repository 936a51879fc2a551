import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { createLeases, type LeaseCluster } from '../leases/cluster.ts'
import { type Body, createBody, type Workload } from './workload.ts'

/**
 * An API server's wire without an API server: sends prepared bytes as fast as the reader takes them. Runs as a process of
 * its own, so that it costs nobody else time; told over IPC what to serve and when to begin.
 */
export type Order =
  /** What there is, before anything happens; watches that ask from the beginning get it. */
  | { type: 'initial'; workload: Workload | LeaseCluster }
  /** What will happen. Watches wait for `go`. */
  | { type: 'changes'; workload: Workload | LeaseCluster }
  | { type: 'go' }
  /** Back to before `go`, for the next contender. */
  | { type: 'rewind' }
  /** One frame every so many ms, each told back with the moment at which it was sent. */
  | { type: 'drip'; frames: number; everyMs: number }
  /** So many more, at so many a second; `done` comes with the last. */
  | { type: 'pace'; frames: number; rate: number }
  /** Answers the next watches with 410, as after a compaction. */
  | { type: 'forget' }

interface Watcher {
  readonly socket: Socket
  /** The next frame that it gets. */
  next: number
  isSending: boolean
}

const slice = 256 * 1024
const recordings = new URL('../../recordings/', import.meta.url)
const recorded = (name: string) => readFileSync(new URL(name, recordings), 'utf8')
const listVersion = 1_000_000_000

const version = { groupVersion: 'coordination.k8s.io/v1', version: 'v1' }
const groups = {
  kind: 'APIGroupList',
  groups: [{ name: 'coordination.k8s.io', versions: [version], preferredVersion: version }],
}
const leaseResources = {
  kind: 'APIResourceList',
  groupVersion: version.groupVersion,
  resources: [
    { name: 'leases', singularName: 'lease', namespaced: true, kind: 'Lease', verbs: ['get', 'list', 'watch'] },
  ],
}

let initial: Body | undefined
let changes: Body | undefined
let released = 0
let snapshots = 0
let isForgetful = false
const watching = new Set<Watcher>()

function answer(socket: Socket, status: string, body: string): void {
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
  socket.write(head + body)
}

/** Sends frames from one to another; backpressure is the socket's. */
async function send(socket: Socket, body: Body, from: number, to: number): Promise<void> {
  const end = body.offsets[to] ?? 0
  for (let at = body.offsets[from] ?? 0; at < end && !socket.destroyed; at += slice) {
    const isTaken = socket.write(body.bytes.subarray(at, Math.min(end, at + slice)))
    if (!isTaken) await new Promise<void>((resolve) => whenWritable(socket, resolve))
  }
}

function whenWritable(socket: Socket, then: () => void): void {
  const once = () => {
    socket.off('drain', once).off('close', once)
    then()
  }
  socket.on('drain', once).on('close', once)
}

const begin = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
const bookmark = (kind: string, version: number) =>
  `${JSON.stringify({
    type: 'BOOKMARK',
    object: {
      kind,
      metadata: { resourceVersion: String(version), annotations: { 'k8s.io/initial-events-end': 'true' } },
    },
  })}\n`

/** Later than any object of the snapshot, changed ones too, and another for each snapshot. */
function snapshotVersion(): number {
  return listVersion + snapshots * 2 * (initial?.offsets.length ?? 0)
}

async function watch(socket: Socket, query: URLSearchParams, kind: string): Promise<void> {
  socket.write(begin)
  if (query.get('sendInitialEvents') === 'true') {
    if (initial !== undefined) await send(socket, initial, 0, initial.offsets.length - 1)
    socket.write(chunk(bookmark(kind, snapshotVersion())))
  } else if (isForgetful) {
    isForgetful = false
    const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' }
    socket.end(`${chunk(`${JSON.stringify({ type: 'ERROR', object: status })}\n`)}0\r\n\r\n`)
    return
  }
  const cursor = Number(query.get('resourceVersion') ?? 0)
  const next = Math.max(0, cursor - (changes?.firstVersion ?? 0) + 1)
  const watcher: Watcher = { socket, next, isSending: false }
  watching.add(watcher)
  socket.on('close', () => watching.delete(watcher))
  void catchUp(watcher)
}

/** Sends what this watch has not had yet, one piece after another, however often it is told that there is more. */
async function catchUp(watcher: Watcher): Promise<void> {
  if (watcher.isSending) return
  watcher.isSending = true
  while (changes !== undefined && watcher.next < released && !watcher.socket.destroyed) {
    const from = watcher.next
    watcher.next = released
    await send(watcher.socket, changes, from, watcher.next)
  }
  watcher.isSending = false
}

function list(socket: Socket, kind: string): void {
  const version = String(listVersion)
  const metadata = { resourceVersion: version }
  answer(socket, '200 OK', JSON.stringify({ kind: `${kind}List`, apiVersion: 'v1', metadata, items: [] }))
}

function handle(socket: Socket, target: string): void {
  const { pathname, searchParams } = new URL(target, 'http://localhost')
  const kind = pathname.endsWith('/leases') ? 'Lease' : 'Pod'
  if (pathname.endsWith('/kube-system')) answer(socket, '200 OK', '{"metadata":{"uid":"cluster"}}')
  else if (pathname === '/api') answer(socket, '200 OK', '{"kind":"APIVersions","versions":["v1"]}')
  else if (pathname === '/apis') answer(socket, '200 OK', JSON.stringify(groups))
  else if (pathname === '/apis/coordination.k8s.io/v1') answer(socket, '200 OK', JSON.stringify(leaseResources))
  else if (pathname === '/api/v1') answer(socket, '200 OK', recorded('api-v1.body'))
  else if (!/\/(pods|leases)$/.test(pathname)) answer(socket, '404 Not Found', '{"kind":"Status","code":404}')
  else if (searchParams.has('watch')) void watch(socket, searchParams, kind)
  else list(socket, kind)
}

const server = createServer({ noDelay: true }, (socket) => {
  let head = ''
  socket.on('error', () => socket.destroy())
  socket.on('data', (bytes) => {
    head += bytes.toString('latin1')
    for (let end = head.indexOf('\r\n\r\n'); end !== -1; end = head.indexOf('\r\n\r\n')) {
      const target = head.split(' ', 2)[1] ?? '/'
      head = head.slice(end + 4)
      handle(socket, target)
    }
  })
})

function release(frames: number): void {
  released = frames
  for (const watcher of watching) void catchUp(watcher)
}

/** What is due by the clock, so that the rate holds on a busy machine too. */
function pace(frames: number, rate: number): void {
  const [began, before] = [performance.now(), released]
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * rate)
    release(before + Math.min(due, frames))
    if (due < frames) return
    clearInterval(timer)
    process.send?.({ type: 'done' })
  }, 10)
}

function build(workload: Workload | LeaseCluster): Body {
  return workload.kind === 'lease-cluster' ? createLeases(workload) : createBody(workload)
}

process.on('message', (order: Order) => {
  switch (order.type) {
    case 'initial':
      initial = build(order.workload)
      snapshots++
      break
    case 'changes':
      changes = build(order.workload)
      released = 0
      break
    case 'go':
      release((changes?.offsets.length ?? 1) - 1)
      break
    case 'drip': {
      const timer = setInterval(() => {
        if (released + 1 >= order.frames) clearInterval(timer)
        process.send?.({ type: 'sent', frame: released, at: performance.timeOrigin + performance.now() })
        release(released + 1)
      }, order.everyMs)
      return
    }
    case 'pace':
      pace(order.frames, order.rate)
      return
    case 'rewind':
      released = 0
      break
    case 'forget':
      isForgetful = true
      for (const { socket } of watching) socket.destroy()
      watching.clear()
  }
  process.send?.({ type: 'done' })
})
process.on('disconnect', () => process.exit())
server.listen(0, '127.0.0.1', () => {
  process.send?.({ type: 'listening', port: (server.address() as { port: number }).port })
})
