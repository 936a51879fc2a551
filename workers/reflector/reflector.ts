import type { Readable } from 'node:stream'
import { type Cancel, type Clock, systemClock } from '../clock.ts'
import type { KubeClient } from '../kube/client.ts'
import type { KubeObject, KubeStatus } from '../kube/object.ts'
import { createEventReader } from './event-reader.ts'
import { classifyError, classifyErrorEvent, classifyStatus, type Described } from './failure.ts'
import { parseObject } from './frame.ts'
import { createLineSplitter, OversizedFrame } from './lines.ts'
import { createListSplitter } from './list-splitter.ts'
import { readBody } from './read-body.ts'
import { type Action, createState, type GapReason, type Input } from './state.ts'
import { silenceLimit, step } from './step.ts'

/** Where a reflector's findings go. Every call takes effect in the order of the calls. */
export interface Sink {
  /** Puts an object into the snapshot that is being taken, or takes it out. */
  stage(object: KubeObject): void
  unstage(object: KubeObject): void
  clearStage(): void
  /** The snapshot is complete and has this version. */
  commit(resourceVersion: string, gap?: GapReason): void
  /** The object changed, or is gone. */
  emit(object: KubeObject, gone: boolean): void
  advance(resourceVersion: string): void
  /** Keeps the cluster's uid with the cursors to come. */
  identify(clusterUid: string): void
  /** Keeps bytes that no rule could read. */
  deadLetter(bytes: Uint8Array): void
  /** True while the queue behind the sink holds all that it may. */
  isFull(): boolean
  /** Resolves when the queue is short again. */
  drained(): Promise<void>
}

/** What to watch, how, and who hears of it. */
export interface ReflectorOptions {
  client: KubeClient
  /** The collection's path. */
  path: string
  selectors: { labelSelector?: string | undefined; fieldSelector?: string | undefined }
  /** The stored resourceVersion, empty before the first sync. */
  cursor: string
  /** Set when the last snapshot was written in part only: a new one is taken before anything else. */
  unfinished?: GapReason | undefined
  /** The uid of the cluster that the cursor is from; empty when unknown. */
  clusterUid: string
  sink: Sink
  report(health: 'syncing' | 'synced' | 'degraded', reason?: string): void
  /** How long one watch lasts, in seconds: drawn from [least, 2 × least) (R23, R29). */
  leastTimeoutSeconds?: number
  clock?: Clock
  random?: () => number
}

export interface Reflector {
  start(): void
  /** Ends every connection; the sink is not called again. */
  stop(): void
  /** When the last byte came from the API server, ms; for liveness. */
  lastHeard(): number
}

/** A body that is no list and no watch is an error's; more of it than this is not read. */
const errorBodyLimit = 256 * 1024
/** How often the silence of a connection is measured, ms. */
const guardMs = 1000
/** How long a watch is left unread while the queue is full, ms. */
const roomMs = 500

/** Creates the driver of one reflector: it owns connections and timers, and no rules; those are in `step`. */
export function createReflector(options: ReflectorOptions): Reflector {
  const { client, sink, path } = options
  const clock = options.clock ?? systemClock
  const { now } = clock
  const random = options.random ?? Math.random
  const least = options.leastTimeoutSeconds ?? 300
  let timeoutSeconds = least
  let state = createState(options.cursor, options.clusterUid, options.unfinished)
  let connection: AbortController | undefined
  let cancelSleep: Cancel | undefined
  let lastByteAt = 0
  let lastFrame: Uint8Array = new Uint8Array()
  const readEvent = createEventReader()

  function handle(input: Input, object?: KubeObject): void {
    try {
      const result = step(state, input, { now: now(), random: random() })
      state = result.state
      for (const action of result.actions) {
        const run = perform[action.type] as (action: Action, object?: KubeObject) => void
        run(action, object)
      }
    } catch (error) {
      throw new Fault(error)
    }
  }

  type Performers = { [T in Action['type']]: (action: Extract<Action, { type: T }>, object?: KubeObject) => void }
  const perform: Performers = {
    disconnect() {
      connection?.abort()
      connection = undefined
    },
    probe: () => connect(probe),
    identify: ({ clusterUid }) => sink.identify(clusterUid),
    list: (action) => connect((signal) => list(action, signal)),
    watch: (action) => connect((signal) => watch(action, signal)),
    stage: (_, object) => sink.stage(present(object)),
    unstage: (_, object) => sink.unstage(present(object)),
    'clear-stage': () => sink.clearStage(),
    commit: ({ resourceVersion, gap }) => sink.commit(resourceVersion, gap),
    emit: ({ gone }, object) => sink.emit(present(object), gone),
    advance: ({ resourceVersion }) => sink.advance(resourceVersion),
    'await-drain': () => void sink.drained().then(() => handle({ type: 'drained' })),
    sleep({ ms }) {
      cancelSleep = clock.after(ms, () => handle({ type: 'elapsed' }))
    },
    'renew-credentials': () => client.renewCredentials(),
    'dead-letter': () => sink.deadLetter(lastFrame),
    report: ({ health, reason }) => options.report(health, reason),
  }

  /** Runs one exchange; whatever it ends with becomes an input, unless the rules have turned away from it meanwhile. */
  function connect(exchange: (signal: AbortSignal) => Promise<Input | undefined>): void {
    const controller = new AbortController()
    connection = controller
    lastByteAt = now()
    exchange(controller.signal)
      .catch((error: unknown): Input => {
        // What went wrong in here is a bug, not weather: trying again would hide it.
        if (error instanceof Fault) throw error.cause
        if (error instanceof OversizedFrame) lastFrame = error.head
        return { type: 'failed', failure: describe(error) }
      })
      .then((input) => {
        if (connection !== controller || input === undefined) return
        connection = undefined
        handle(input)
      })
  }

  async function probe(signal: AbortSignal): Promise<Input> {
    const { body } = await get({ limit: 1 }, signal)
    const envelope = parse(await readAll(body, Number.POSITIVE_INFINITY))
    return { type: 'probed', resourceVersion: versionOf(envelope), clusterUid: await readClusterUid(signal) }
  }

  /** A cluster has no name of its own; the uid of its first namespace tells it from every other (R56). */
  async function readClusterUid(signal: AbortSignal): Promise<string> {
    const response = await client.get('/api/v1/namespaces/kube-system', {}, { signal })
    const bytes = await readAll(response.body, errorBodyLimit)
    return response.status === 200 ? (parse(bytes).metadata?.uid ?? '') : ''
  }

  async function list(action: Extract<Action, { type: 'list' }>, signal: AbortSignal): Promise<Input | undefined> {
    const query = {
      limit: action.limit === 0 ? undefined : action.limit,
      continue: action.continue,
      // A floor is named on the first page only: the token holds the version of the rest (R5).
      ...(action.continue === undefined && action.floor !== ''
        ? { resourceVersion: action.floor, resourceVersionMatch: 'NotOlderThan' }
        : {}),
    }
    const { body } = await get(query, signal)
    const splitter = createListSplitter()
    await readBody(body, (chunk) => {
      lastByteAt = now()
      for (const bytes of splitter.push(chunk)) {
        if (signal.aborted) return
        lastFrame = bytes
        const object = parse(bytes)
        handle({ type: 'object', resourceVersion: checkObject(object), gone: false }, object)
      }
    })
    if (signal.aborted) return undefined
    const envelope = parse(splitter.finish())
    const token = envelope.metadata?.continue
    const page: Input = { type: 'page', resourceVersion: versionOf(envelope) }
    if (token !== undefined && token !== '') page.continue = token
    return page
  }

  async function watch(action: Extract<Action, { type: 'watch' }>, signal: AbortSignal): Promise<Input | undefined> {
    timeoutSeconds = Math.floor(least * (1 + random()))
    const { body } = await get(
      {
        watch: true,
        allowWatchBookmarks: true,
        timeoutSeconds,
        ...(action.initialEvents ? { sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' } : {}),
        resourceVersion: action.resourceVersion === '' ? undefined : action.resourceVersion,
      },
      signal,
    )
    const splitter = createLineSplitter()
    let turnAt = now()
    // A server with much to tell leaves no moment for anything else: not for Redis' answers, not for a timer.
    const pause = async () => {
      await clock.turn()
      turnAt = now()
      return undefined
    }
    const ended = await readBody<Input>(body, (chunk) => {
      lastByteAt = now()
      for (const line of splitter.push(chunk)) {
        // What was read already when the connection was given up is told again by the next one.
        if (signal.aborted) return undefined
        if (line.length === 0) continue
        lastFrame = line
        const ended = frame(line)
        if (ended !== undefined) return ended
      }
      if (state.name === 'watching' && sink.isFull()) return waitForRoom()
      return now() === turnAt ? undefined : pause()
    })
    // A tail without a newline is a frame that was cut; the resumed watch brings it again (R47).
    return ended ?? { type: 'closed' }
  }

  /**
   * Waits until the queue is short again, or for as long as a server surely bears a reader that does not read: it holds
   * about a thousand events for one. To close at once would throw away what the socket holds, and ask for it again.
   */
  async function waitForRoom(): Promise<Input | undefined> {
    await new Promise<void>((resolve) => {
      const cancel = clock.after(roomMs, resolve)
      void sink.drained().then(() => {
        cancel()
        resolve()
      })
    })
    return sink.isFull() ? { type: 'overflow' } : undefined
  }

  /** Handles one frame of a watch; answers the input that ends it, if it does. */
  function frame(line: Uint8Array): Input | undefined {
    const { type, object } = parse(line, readEvent) as { type?: unknown; object?: KubeObject }
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
      case 'DELETED':
        handle({ type: 'object', resourceVersion: checkObject(object), gone: type === 'DELETED' }, object)
        return undefined
      case 'BOOKMARK': {
        const endsInitialEvents = object?.metadata?.annotations?.['k8s.io/initial-events-end'] === 'true'
        handle({ type: 'bookmark', resourceVersion: versionOf(object), endsInitialEvents })
        return undefined
      }
      case 'ERROR':
        return { type: 'failed', failure: classifyErrorEvent(object) }
      default:
        throw new ProtocolError(`unknown watch event type ${JSON.stringify(type)}`)
    }
  }

  async function get(query: Record<string, string | number | boolean | undefined>, signal: AbortSignal) {
    const response = await client.get(path, { ...options.selectors, ...query }, { signal })
    if (response.status === 200) return response
    const text = new TextDecoder().decode(await readAll(response.body, errorBodyLimit))
    throw new Refusal(classifyStatus(response.status, parseStatus(text), response.retryAfter))
  }

  let stopGuard: Cancel | undefined

  return {
    start() {
      // Silence is measured from outside the connection: a half-open one raises no event of its own.
      stopGuard = clock.every(guardMs, () => {
        if (connection !== undefined && now() - lastByteAt > silenceLimit(state, timeoutSeconds)) {
          connection.abort()
          connection = undefined
          handle({ type: 'silent' })
        }
      })
      handle({ type: 'start' })
    },
    stop() {
      stopGuard?.()
      cancelSleep?.()
      handle({ type: 'stop' })
    },
    lastHeard: () => lastByteAt,
  }
}

/** An error of our own, on its way past the handling of the server's. */
class Fault extends Error {
  override readonly name = 'Fault'

  constructor(cause: unknown) {
    super('the reflector failed', { cause: cause instanceof Fault ? cause.cause : cause })
  }
}

/** What no API server sends. */
class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly failure: Described

  constructor(failure: Described) {
    super(failure.message)
    this.failure = failure
  }
}

function describe(error: unknown): Described {
  if (error instanceof Refusal) return error.failure
  const isProtocol = error instanceof ProtocolError || error instanceof OversizedFrame
  return isProtocol ? { kind: 'protocol', message: (error as Error).message } : classifyError(error)
}

function parse(bytes: Uint8Array, read = parseObject): KubeObject {
  let value: unknown
  try {
    value = read(bytes)
  } catch (error) {
    throw new ProtocolError(`a frame that is no JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null) throw new ProtocolError('a frame that is no object')
  return value as KubeObject
}

function parseStatus(text: string): KubeStatus | undefined {
  try {
    const status = JSON.parse(text) as KubeStatus | null
    return status?.kind === 'Status' ? status : undefined
  } catch {
    // A proxy's HTML page: the code alone has to do (R67).
    return undefined
  }
}

/** The object's resourceVersion, after checking that it is an object at all (R10, R34). */
function checkObject(object: KubeObject | undefined): string {
  const { uid, name } = object?.metadata ?? {}
  if (object?.kind === 'Table') throw new ProtocolError('a Table where an object was asked for')
  if (!uid || !name) throw new ProtocolError('an object without uid or name')
  return versionOf(object)
}

function versionOf(object: KubeObject | undefined): string {
  const version = object?.metadata?.resourceVersion
  if (object?.kind === 'Table') throw new ProtocolError('a Table where a list was asked for')
  if (typeof version !== 'string' || version === '' || version === '0') throw new ProtocolError('no resourceVersion')
  return version
}

function present(object: KubeObject | undefined): KubeObject {
  if (object === undefined) throw new Error('an action about an object came without one')
  return object
}

async function readAll(body: Readable, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    chunks.push(chunk as Uint8Array)
    size += (chunk as Uint8Array).length
    if (size >= limit) break
  }
  return Buffer.concat(chunks)
}
