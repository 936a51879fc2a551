import type { Described } from './failure.ts'
import { compareResourceVersions } from './resource-version.ts'
import type { Action, Env, Floor, GapReason, Input, Memory, State, Step } from './state.ts'

type Of<Union, Tag extends string, Key extends string> = Extract<Union, Record<Key, Tag>>
type Handler<S extends State['name'], I extends Input['type']> = (
  state: Of<State, S, 'name'>,
  input: Of<Input, I, 'type'>,
  env: Env,
) => Step
type Table = { [S in State['name']]: { [I in Input['type']]: Handler<S, I> } }

const pageSize = 500
const firstDelayMs = 800
const longestDelayMs = 30_000
const calmMs = 120_000
/** How often the same cursor may fail before it is given up (R38, R60). */
const patience = 5
/** How long a server that cannot stream lists is not asked to (R19). */
const pagedMs = 3_600_000
/** A close sooner than this, without a word, is how some servers answer a stale resourceVersion (R52). */
const quietMs = 1000

/** The longest silence on the connection before it counts as dead, in ms; Infinity while none is open (R18, R69, R71). */
export function silenceLimit(state: State, timeoutSeconds: number): number {
  switch (state.name) {
    case 'streaming':
    case 'listing':
    case 'probing':
      return 30_000
    case 'watching':
      return state.memory.bookmarks ? Math.min(180_000, timeoutSeconds * 1000 + 30_000) : timeoutSeconds * 1000 + 30_000
    default:
      return Number.POSITIVE_INFINITY
  }
}

/** The reflector's rules: from a state and what happened to the next state and what to do. Requirement numbers: reflector.md. */
export function step(state: State, input: Input, env: Env): Step {
  // The table is total, which the compiler checks; that row and column fit the arguments is beyond its types.
  const handler = table[state.name][input.type] as (state: State, input: Input, env: Env) => Step
  return handler(state, input, env)
}

function keep(state: State, actions: Action[]): Step {
  return { state, actions }
}

function ignore(state: State): Step {
  return keep(state, [])
}

function refuse(state: State, input: Input): Step {
  throw new Error(`the reflector got "${input.type}" while ${state.name}`)
}

function stop(state: State): Step {
  return { state: { name: 'stopped', memory: state.memory }, actions: [{ type: 'disconnect' }] }
}

/** Asks for a consistent state: by a streaming list where the server can, else page by page (R1, R18). */
function sync(memory: Memory, floor: Floor, env: Env): Step {
  const report: Action = { type: 'report', health: 'syncing' }
  if (env.now < memory.pagedUntil) return list(memory, floor, false, [report])
  return {
    state: { name: 'streaming', memory, floor },
    actions: [
      { type: 'disconnect' },
      { type: 'clear-stage' },
      report,
      { type: 'watch', resourceVersion: floor, initialEvents: true },
    ],
  }
}

function list(memory: Memory, floor: Floor, full: boolean, before: Action[] = []): Step {
  // R3: a list that names a version is answered from the watch cache, which has no pages.
  const limit = full || floor !== '' ? 0 : pageSize
  return {
    state: { name: 'listing', memory, floor, full },
    actions: [{ type: 'disconnect' }, { type: 'clear-stage' }, ...before, { type: 'list', floor, limit }],
  }
}

/** Takes a new snapshot because the cursor is of no more use; readers will be told (R50, R42). */
function relist(memory: Memory, gap: GapReason, floor: Floor, env: Env): Step {
  const lost = memory.cursor === '' ? {} : { gap: memory.gap ?? gap }
  return sync({ ...memory, ...lost, faults: 0, quietCloses: 0 }, floor, env)
}

function watch(memory: Memory, env: Env): Step {
  return {
    state: { name: 'watching', memory, openedAt: env.now, heard: false },
    actions: [{ type: 'disconnect' }, { type: 'watch', resourceVersion: memory.cursor, initialEvents: false }],
  }
}

/** Resumes where the last one stopped: by a watch, unless there was no snapshot yet or only a part of one. */
function goOn(memory: Memory, env: Env): Step {
  return memory.cursor === '' || memory.gap !== undefined ? sync(memory, '', env) : watch(memory, env)
}

function probe(memory: Memory): Step {
  return { state: { name: 'probing', memory }, actions: [{ type: 'disconnect' }, { type: 'probe' }] }
}

/** The snapshot is whole: it becomes the known state, and its version the cursor (R6, R13). */
function commit(memory: Memory, resourceVersion: string): { memory: Memory; actions: Action[] } {
  const { gap, ...rest } = memory
  // A snapshot of the very version that we had proves that nothing was missed, an older one that history was replaced.
  const isSame = memory.cursor === resourceVersion
  const announced: { gap?: GapReason } = isPast(memory, resourceVersion) ? { gap: 'rewound' } : {}
  if (gap !== undefined && announced.gap === undefined && !isSame) announced.gap = gap
  return {
    memory: { ...rest, cursor: resourceVersion, faults: 0, quietCloses: 0 },
    actions: [{ type: 'commit', resourceVersion, ...announced }, inSync],
  }
}

const inSync: Action = { type: 'report', health: 'synced' }

/** The first line of a watch ends whatever trouble there was before it. */
function firstHeard(state: { heard: boolean }): Action[] {
  return state.heard ? [] : [inSync]
}

type Waiting = Of<State, 'waiting', 'name'>

/** Waits before the next try: full jitter, doubling, forgotten after a calm time, never sooner than the server asked (R76, R57). */
function backOff(memory: Memory, next: Waiting['next'], failure: Described, env: Env): Step {
  const attempt = env.now - memory.failedAt > calmMs ? 0 : memory.attempt
  const ceiling = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(attempt, 10))
  const asked = 'retryAfter' in failure ? (failure.retryAfter ?? 0) * 1000 : 0
  const ms = Math.round(asked + env.random * ceiling)
  const actions: Action[] = [{ type: 'disconnect' }]
  if (failure.kind === 'unauthorized') actions.push({ type: 'renew-credentials' })
  actions.push({ type: 'report', health: 'degraded', reason: failure.message }, { type: 'sleep', ms })
  return { state: { name: 'waiting', memory: { ...memory, attempt: attempt + 1, failedAt: env.now }, next }, actions }
}

const silence: Described = { kind: 'network', message: 'the API server fell silent' }
const cutShort: Described = { kind: 'network', message: 'the list ended before its end' }

/** A snapshot could not be taken: the same again later, from the newest version where the asked one cannot be had (R8, R20, R54). */
function syncFailed(state: { memory: Memory; floor: Floor }, failure: Described, env: Env): Step {
  const { memory, floor } = state
  if (failure.kind === 'expired' && floor !== '') return sync(memory, '', env)
  if (failure.kind === 'too-large') return backOff(memory, { to: 'sync', floor: '' }, failure, env)
  return backOff(memory, { to: 'sync', floor }, failure, env)
}

function watchFailed(state: Of<State, 'watching', 'name'>, failure: Described, env: Env): Step {
  const { memory } = state
  const retry = (changed: Memory) => backOff(changed, { to: 'watch' }, failure, env)
  switch (failure.kind) {
    case 'expired':
      return relist(memory, 'expired', '', env)
    case 'too-large':
      return backOff(memory, { to: 'probe' }, failure, env)
    case 'server':
    case 'unsupported':
    case 'protocol': {
      const faults = memory.faults + 1
      if (faults < patience) return retry({ ...memory, faults })
      const isUnreadable = failure.kind === 'protocol'
      const next = relist(memory, isUnreadable ? 'unreadable' : 'failing', '', env)
      return isUnreadable ? { state: next.state, actions: [{ type: 'dead-letter' }, ...next.actions] } : next
    }
    case 'busy':
    case 'unauthorized':
    case 'refused':
      return retry(memory)
    case 'network':
      // What broke the connection may have been a restore: before the server gets beyond our cursor again, we look (R56).
      return backOff(memory, { to: 'probe' }, failure, env)
  }
}

/**
 * A watch tells in order, so what is older than the cursor was told before: told again, it could bring a deleted object
 * back (R41).
 */
function isPast(memory: Memory, resourceVersion: string): boolean {
  const order = compareResourceVersions(resourceVersion, memory.cursor)
  return order !== undefined && order < 0
}

/** The cursor is this object's version from now on; whatever failed on the one before is forgotten (R31). */
function heard(state: Of<State, 'watching', 'name'>, resourceVersion: string, bookmark: boolean): State {
  const { memory } = state
  return {
    name: 'watching',
    memory: { ...memory, cursor: resourceVersion, faults: 0, quietCloses: 0, bookmarks: memory.bookmarks || bookmark },
    openedAt: state.openedAt,
    heard: true,
  }
}

const table: Table = {
  idle: {
    start: (state) => probe(state.memory),
    stop,
    probed: refuse,
    object: refuse,
    bookmark: refuse,
    page: refuse,
    failed: refuse,
    closed: refuse,
    silent: refuse,
    elapsed: refuse,
    overflow: ignore,
    drained: ignore,
  },

  probing: {
    probed(state, { resourceVersion, clusterUid }, env) {
      const known = state.memory.clusterUid
      const memory = { ...state.memory, clusterUid: clusterUid || known }
      const order = compareResourceVersions(resourceVersion, memory.cursor)
      const isOther = known !== '' && clusterUid !== '' && known !== clusterUid
      // A watch in the server's future gives no error and no events, for ever (R55, R56).
      const isFuture = order !== undefined && order < 0
      const next = isOther || isFuture ? relist(memory, 'rewound', '', env) : goOn(memory, env)
      // Resuming reads no list whose end would say so: the server answers, and the cursor lies in its past.
      const report: Action[] = next.state.name === 'watching' ? [inSync] : []
      const actions: Action[] = [{ type: 'identify', clusterUid: memory.clusterUid }, ...next.actions, ...report]
      return { state: next.state, actions }
    },
    failed(state, { failure }, env) {
      // Whoever may not list may still watch; the watch itself will tell.
      if (failure.kind === 'refused' || failure.kind === 'expired') return goOn(state.memory, env)
      return backOff(state.memory, { to: 'probe' }, failure, env)
    },
    silent: (state, _, env) => backOff(state.memory, { to: 'probe' }, silence, env),
    stop,
    start: refuse,
    object: refuse,
    bookmark: refuse,
    page: refuse,
    closed: refuse,
    elapsed: refuse,
    overflow: ignore,
    drained: ignore,
  },

  streaming: {
    object: (state, { gone }) => keep(state, [{ type: gone ? 'unstage' : 'stage' }]),
    bookmark(state, { resourceVersion, endsInitialEvents }, env) {
      if (!endsInitialEvents) return ignore(state)
      const done = commit({ ...state.memory, bookmarks: true }, resourceVersion)
      return {
        state: { name: 'watching', memory: done.memory, openedAt: env.now, heard: true },
        actions: done.actions,
      }
    },
    failed(state, { failure }, env) {
      // An object that is too large for a frame is none for a list, which would otherwise never get past it.
      const cannot = failure.kind === 'unsupported' || failure.kind === 'server' || failure.kind === 'protocol'
      if (!cannot) return syncFailed(state, failure, env)
      const report: Action = { type: 'report', health: 'syncing', reason: failure.message }
      return list({ ...state.memory, pagedUntil: env.now + pagedMs }, state.floor, false, [report])
    },
    // Never a partial snapshot: what came without the end marker is thrown away (R15).
    closed: (state, _, env) => backOff(state.memory, { to: 'sync', floor: state.floor }, cutShort, env),
    // A server of before 1.27 ignores the request for a marker and never sends one.
    silent: (state, _, env) => list({ ...state.memory, pagedUntil: env.now + pagedMs }, state.floor, false),
    stop,
    overflow: ignore,
    drained: ignore,
    start: refuse,
    probed: refuse,
    page: refuse,
    elapsed: refuse,
  },

  listing: {
    object: (state) => keep(state, [{ type: 'stage' }]),
    page(state, input, env) {
      const { resourceVersion } = input
      if (state.snapshot !== undefined && state.snapshot !== resourceVersion) {
        const failure: Described = {
          kind: 'protocol',
          message: 'the pages of a list disagree about its resourceVersion',
        }
        return backOff(state.memory, { to: 'sync', floor: state.floor }, failure, env)
      }
      if (input.continue !== undefined) {
        return {
          state: { ...state, snapshot: resourceVersion },
          actions: [{ type: 'list', floor: '', limit: state.full ? 0 : pageSize, continue: input.continue }],
        }
      }
      const done = commit(state.memory, resourceVersion)
      const next = watch(done.memory, env)
      return { state: next.state, actions: [...done.actions, ...next.actions] }
    },
    failed(state, { failure }, env) {
      // The token that a 410 offers continues an inconsistent list: everything is thrown away instead (R7).
      const isMidway = state.snapshot !== undefined
      if (failure.kind === 'expired' && isMidway) return list(state.memory, '', true)
      return syncFailed(state, failure, env)
    },
    silent: (state, _, env) => backOff(state.memory, { to: 'sync', floor: state.floor }, silence, env),
    closed: refuse,
    stop,
    overflow: ignore,
    drained: ignore,
    start: refuse,
    probed: refuse,
    bookmark: refuse,
    elapsed: refuse,
  },

  watching: {
    object(state, { resourceVersion, gone }) {
      if (isPast(state.memory, resourceVersion)) return keep({ ...state, heard: true }, firstHeard(state))
      return { state: heard(state, resourceVersion, false), actions: [{ type: 'emit', gone }, ...firstHeard(state)] }
    },
    bookmark(state, { resourceVersion }) {
      if (isPast(state.memory, resourceVersion)) return keep({ ...state, heard: true }, firstHeard(state))
      const actions: Action[] = [{ type: 'advance', resourceVersion }, ...firstHeard(state)]
      return { state: heard(state, resourceVersion, true), actions }
    },
    closed(state, _, env) {
      const { memory } = state
      if (state.heard) return watch(memory, env)
      const isQuiet = env.now - state.openedAt < quietMs
      const quietCloses = isQuiet ? memory.quietCloses + 1 : 0
      if (quietCloses >= 2) return relist(memory, 'expired', memory.cursor, env)
      // Not one event and not one bookmark: the cursor may lie in the server's future (R55).
      return probe({ ...memory, quietCloses })
    },
    failed: (state, { failure }, env) => watchFailed(state, failure, env),
    silent: (state, _, env) => backOff(state.memory, { to: 'probe' }, silence, env),
    overflow: (state) => ({
      state: { name: 'draining', memory: state.memory },
      actions: [{ type: 'disconnect' }, { type: 'await-drain' }],
    }),
    drained: ignore,
    stop,
    start: refuse,
    probed: refuse,
    page: refuse,
    elapsed: refuse,
  },

  waiting: {
    elapsed(state, _, env) {
      const { memory, next } = state
      if (next.to === 'sync') return sync(memory, next.floor, env)
      if (next.to === 'watch') return watch(memory, env)
      return probe(memory)
    },
    stop,
    overflow: ignore,
    drained: ignore,
    start: refuse,
    probed: refuse,
    object: refuse,
    bookmark: refuse,
    page: refuse,
    failed: refuse,
    closed: refuse,
    silent: refuse,
  },

  draining: {
    drained: (state, _, env) => watch(state.memory, env),
    stop,
    overflow: ignore,
    start: refuse,
    probed: refuse,
    object: refuse,
    bookmark: refuse,
    page: refuse,
    failed: refuse,
    closed: refuse,
    silent: refuse,
    elapsed: refuse,
  },

  stopped: {
    start: ignore,
    stop: ignore,
    probed: ignore,
    object: ignore,
    bookmark: ignore,
    page: ignore,
    failed: ignore,
    closed: ignore,
    silent: ignore,
    elapsed: ignore,
    overflow: ignore,
    drained: ignore,
  },
}
