import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Failure } from '../../../workers/reflector/failure.ts'
import { type Action, createState, type Env, type Input, type State } from '../../../workers/reflector/state.ts'
import { silenceLimit, step } from '../../../workers/reflector/step.ts'

const env: Env = { now: 1_000_000, random: 0.5 }

/** Runs inputs one after the other; answers the last state and all actions of the last input. */
function run(start: State, inputs: Input[], at: Env = env): { state: State; actions: Action[] } {
  let result = { state: start, actions: [] as Action[] }
  for (const input of inputs) result = step(result.state, input, at)
  return result
}

const probed = (resourceVersion = '1000', clusterUid = 'c'): Input => ({ type: 'probed', resourceVersion, clusterUid })
const object = (resourceVersion: string, gone = false): Input => ({ type: 'object', resourceVersion, gone })
const bookmark = (resourceVersion: string, endsInitialEvents = false): Input => ({
  type: 'bookmark',
  resourceVersion,
  endsInitialEvents,
})
const failed = (failure: Failure): Input => ({ type: 'failed', failure: { ...failure, message: 'x' } })
const types = (actions: Action[]) => actions.map(({ type }) => type)
const find = <T extends Action['type']>(actions: Action[], type: T) =>
  actions.find((action): action is Extract<Action, { type: T }> => action.type === type)

const fresh = () => createState('', '')
const resumed = () => createState('500', 'c')
const streaming: Input[] = [{ type: 'start' }, probed()]
const watching = [...streaming, bookmark('500', true)]
const resume: Input[] = [{ type: 'start' }, probed()]
const listing: Input[] = [...streaming, failed({ kind: 'unsupported' })]

describe('at the first start', () => {
  it('R1 R12 asks for a consistent state by a streaming list at no version', () => {
    const { state, actions } = run(fresh(), streaming)
    expect(state.name).toBe('streaming')
    expect(find(actions, 'watch')).toEqual({ type: 'watch', resourceVersion: '', initialEvents: true })
  })

  it('R13 R14 takes the version of the end marker, not of the objects before it', () => {
    const { state, actions } = run(fresh(), [...streaming, object('900'), object('3'), bookmark('500', true)])
    expect(find(actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '500' })
    expect(state).toMatchObject({ name: 'watching', memory: { cursor: '500' } })
    expect(types(actions)).not.toContain('watch')
  })

  it('R16 does not take an ordinary bookmark for the marker', () => {
    const { state, actions } = run(fresh(), [...streaming, bookmark('600')])
    expect([state.name, actions]).toEqual(['streaming', []])
  })

  it('R17 takes an object out of the snapshot that is deleted meanwhile', () => {
    expect(types(run(fresh(), [...streaming, object('3', true)]).actions)).toEqual(['unstage'])
  })

  it('R15 throws a snapshot away that ended before its marker', () => {
    const cut = run(fresh(), [...streaming, object('3'), { type: 'closed' }])
    expect(cut.state.name).toBe('waiting')
    expect(types(run(cut.state, [{ type: 'elapsed' }]).actions)).toEqual([
      'disconnect',
      'clear-stage',
      'report',
      'watch',
    ])
  })

  it.each([[failed({ kind: 'unsupported' })], [failed({ kind: 'server' })], [{ type: 'silent' } as Input]])(
    'R18 falls back to a list where the server cannot stream one: %j',
    (sign) => {
      const { state, actions } = run(fresh(), [...streaming, sign])
      expect(state.name).toBe('listing')
      expect(find(actions, 'list')).toEqual({ type: 'list', floor: '', limit: 500 })
    },
  )

  it('R19 remembers that, and tries again after an hour', () => {
    const { state } = run(fresh(), [...listing, failed({ kind: 'network' })])
    expect(run(state, [{ type: 'elapsed' }]).state.name).toBe('listing')
    expect(run(state, [{ type: 'elapsed' }], { ...env, now: env.now + 3_600_001 }).state.name).toBe('streaming')
  })
})

describe('a list in pages', () => {
  const page = (resourceVersion: string, token?: string): Input =>
    token === undefined ? { type: 'page', resourceVersion } : { type: 'page', resourceVersion, continue: token }

  it('R5 R6 goes on with the token alone and ends with the version of the list', () => {
    const next = run(fresh(), [...listing, object('900'), page('500', 't')])
    expect(next.actions).toEqual([{ type: 'list', floor: '', limit: 500, continue: 't' }])
    const last = run(next.state, [page('500')])
    expect(find(last.actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '500' })
    expect(find(last.actions, 'watch')).toEqual({ type: 'watch', resourceVersion: '500', initialEvents: false })
  })

  it('R6 starts again when pages disagree', () => {
    const { state, actions } = run(fresh(), [...listing, page('500', 't'), page('501')])
    expect(state).toMatchObject({ name: 'waiting', next: { to: 'sync' } })
    expect(types(actions)).not.toContain('commit')
  })

  it('R7 throws all pages away when the token expired, and asks for everything at once', () => {
    const { actions } = run(fresh(), [...listing, page('500', 't'), failed({ kind: 'expired' })])
    expect(types(actions)).toContain('clear-stage')
    expect(find(actions, 'list')).toEqual({ type: 'list', floor: '', limit: 0 })
  })

  it('R3 that names a version carries no limit', () => {
    const memory = { ...resumed().memory, pagedUntil: Number.POSITIVE_INFINITY }
    const { actions } = run({ name: 'waiting', memory, next: { to: 'sync', floor: '500' } }, [{ type: 'elapsed' }])
    expect(find(actions, 'list')).toEqual({ type: 'list', floor: '500', limit: 0 })
  })

  it('R8 R20 asks at once for the newest where the version is no longer there', () => {
    const memory = resumed().memory
    for (const name of ['streaming', 'listing'] as const) {
      const state: State =
        name === 'listing' ? { name, memory, floor: '500', full: false } : { name, memory, floor: '500' }
      expect(run(state, [failed({ kind: 'expired' })]).state).toMatchObject({ floor: '' })
    }
  })
})

describe('a restart', () => {
  it('R80 R23 R21 resumes the watch from the stored version and reads no list', () => {
    const { state, actions } = run(resumed(), resume)
    expect(state.name).toBe('watching')
    expect(find(actions, 'watch')).toEqual({ type: 'watch', resourceVersion: '500', initialEvents: false })
  })

  it('R55 R56 notices that the server is behind the stored version, and tells', () => {
    const { state, actions } = run(resumed(), [{ type: 'start' }, probed('499')])
    expect(find(actions, 'watch')).toMatchObject({ initialEvents: true, resourceVersion: '' })
    const done = run(state, [bookmark('499', true)])
    expect(find(done.actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '499', gap: 'rewound' })
  })

  it('R56 notices another cluster by its uid, whatever its version', () => {
    const { state } = run(resumed(), [{ type: 'start' }, probed('1000', 'other')])
    expect(state).toMatchObject({ name: 'streaming', memory: { gap: 'rewound', clusterUid: 'other' } })
  })

  it('watches all the same where it may not list', () => {
    expect(run(resumed(), [{ type: 'start' }, failed({ kind: 'refused' })]).state.name).toBe('watching')
  })
})

describe('a watch', () => {
  const open = run(fresh(), watching).state

  it('R31 R35 hands on each object and moves its cursor to it', () => {
    const { state, actions } = run(open, [object('501', true)])
    expect(actions).toEqual([{ type: 'emit', gone: true }])
    expect(state.memory.cursor).toBe('501')
  })

  it('R32 moves its cursor on a bookmark and hands on nothing', () => {
    const { state, actions } = run(open, [bookmark('502')])
    expect(actions).toEqual([{ type: 'advance', resourceVersion: '502' }])
    expect(state.memory.cursor).toBe('502')
  })

  it.each([failed({ kind: 'expired' })])(
    'R50 R51 R2 takes a new snapshot of the newest when its version expired',
    (input) => {
      const { state, actions } = run(open, [input])
      expect(find(actions, 'watch')).toEqual({ type: 'watch', resourceVersion: '', initialEvents: true })
      const done = run(state, [bookmark('900', true)])
      expect(find(done.actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '900', gap: 'expired' })
    },
  )

  it('announces no gap when the new snapshot has the very version that we had', () => {
    const { actions } = run(open, [failed({ kind: 'expired' }), bookmark('500', true)])
    expect(find(actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '500' })
  })

  it('R52 R53 takes two quiet closes within a second for an answer to a stale version', () => {
    const first = run(resumed(), [...resume, { type: 'closed' }])
    expect(first.state.name).toBe('probing')
    const second = run(first.state, [probed(), { type: 'closed' }])
    expect(second.state).toMatchObject({ name: 'streaming', floor: '500', memory: { gap: 'expired' } })
  })

  it('R77 reconnects at once after a regular close', () => {
    const { state, actions } = run(open, [object('501'), { type: 'closed' }])
    expect(state.name).toBe('watching')
    expect(find(actions, 'watch')).toMatchObject({ resourceVersion: '501' })
  })

  it('R56 looks whether its version lies in the future when it heard nothing at all', () => {
    const opened = run(resumed(), resume).state
    const { state } = run(opened, [{ type: 'closed' }], { ...env, now: env.now + 300_000 })
    expect(state.name).toBe('probing')
  })

  it('R61 R62 R56 resumes from its cursor after the connection broke, once the server turns out to be as new as that', () => {
    const { state } = run(open, [object('501'), failed({ kind: 'network' })])
    expect(state).toMatchObject({ name: 'waiting', next: { to: 'probe' }, memory: { cursor: '501' } })
    const { actions } = run(state, [{ type: 'elapsed' }, probed('501')])
    expect(find(actions, 'watch')).toMatchObject({ resourceVersion: '501', initialEvents: false })
    expect(run(state, [{ type: 'elapsed' }, probed('500')]).state).toMatchObject({ memory: { gap: 'rewound' } })
  })

  it.each(['busy', 'unauthorized', 'refused'] as const)(
    'R57 R65 resumes from its cursor after a failure that is no loss: %s',
    (kind) => {
      const { state } = run(open, [object('501'), failed({ kind })])
      expect(state).toMatchObject({ name: 'waiting', next: { to: 'watch' }, memory: { cursor: '501' } })
      expect(find(run(state, [{ type: 'elapsed' }]).actions, 'watch')).toMatchObject({ resourceVersion: '501' })
    },
  )

  it('R57 R59 waits as long as the server asked', () => {
    const { actions } = run(open, [failed({ kind: 'busy', retryAfter: 7 })])
    expect(find(actions, 'sleep')?.ms).toBeGreaterThanOrEqual(7000)
  })

  it('R64 reads the credentials again after a 401', () => {
    expect(types(run(open, [failed({ kind: 'unauthorized' })]).actions)).toContain('renew-credentials')
  })

  it('R37 R38 gives a frame that cannot be read five chances, then keeps it aside and takes a snapshot', () => {
    let state = open
    for (let n = 1; n < 5; n++) {
      state = run(state, [failed({ kind: 'protocol' })]).state
      expect(state).toMatchObject({ name: 'waiting', memory: { cursor: '500' } })
      state = run(state, [{ type: 'elapsed' }]).state
    }
    const last = run(state, [failed({ kind: 'protocol' })])
    expect(last.actions[0]).toEqual({ type: 'dead-letter' })
    expect(last.state).toMatchObject({ name: 'streaming', memory: { gap: 'unreadable' } })
  })

  it('R60 takes a snapshot after a bounded number of server errors on one cursor, but not while it moves', () => {
    let state = open
    for (let n = 1; n < 12; n++) {
      state = run(state, [object(`${500 + n}`), failed({ kind: 'server' }), { type: 'elapsed' }]).state
      expect(state.name).toBe('watching')
    }
    for (let n = 1; n < 4; n++) state = run(state, [failed({ kind: 'server' }), { type: 'elapsed' }]).state
    expect(run(state, [failed({ kind: 'server' })]).state.name).toBe('streaming')
  })

  it('R92 closes itself while the queue is full and resumes when it is short', () => {
    const full = run(open, [object('501'), { type: 'overflow' }])
    expect(types(full.actions)).toEqual(['disconnect', 'await-drain'])
    expect(find(run(full.state, [{ type: 'drained' }]).actions, 'watch')).toMatchObject({ resourceVersion: '501' })
  })

  it('R69 R71 counts as dead after its own deadline, and after three minutes once bookmarks came', () => {
    const quiet = run(resumed(), resume).state
    expect(silenceLimit(quiet, 300)).toBe(330_000)
    expect(silenceLimit(run(quiet, [bookmark('501')]).state, 300)).toBe(180_000)
    expect(run(quiet, [{ type: 'silent' }]).state).toMatchObject({ name: 'waiting', next: { to: 'probe' } })
  })
})

describe('the back-off', () => {
  it('R76 doubles from 0.8 s to 30 s with full jitter, and starts over after two calm minutes', () => {
    const waits: number[] = []
    let state = run(resumed(), resume).state
    for (let n = 0; n < 8; n++) {
      const next = run(state, [failed({ kind: 'network' })], { ...env, random: 1 })
      waits.push(find(next.actions, 'sleep')?.ms ?? 0)
      state = run(next.state, [{ type: 'elapsed' }]).state
    }
    expect(waits).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000])
    const later = run(state, [failed({ kind: 'network' })], { now: env.now + 120_001, random: 1 })
    expect(find(later.actions, 'sleep')?.ms).toBe(800)
  })

  it('R54 waits for a server that is behind, then asks for the newest', () => {
    const state: State = { name: 'streaming', memory: resumed().memory, floor: '500' }
    const next = run(state, [failed({ kind: 'too-large', retryAfter: 1 })])
    expect(find(next.actions, 'sleep')?.ms).toBeGreaterThanOrEqual(1000)
    expect(next.state).toMatchObject({ next: { to: 'sync', floor: '' } })
  })
})

it('R79 stops from every state, closes its connection and takes notice of nothing more', () => {
  const states: State[] = [
    fresh(),
    run(fresh(), [{ type: 'start' }]).state,
    run(fresh(), streaming).state,
    run(fresh(), listing).state,
    run(fresh(), watching).state,
    run(fresh(), [...watching, failed({ kind: 'network' })]).state,
    run(fresh(), [...watching, { type: 'overflow' }]).state,
  ]
  expect(new Set(states.map(({ name }) => name)).size).toBe(7)
  for (const state of states) {
    const stopped = run(state, [{ type: 'stop' }])
    expect(stopped).toMatchObject({ state: { name: 'stopped' }, actions: [{ type: 'disconnect' }] })
    expect(run(stopped.state, [object('1'), { type: 'elapsed' }, failed({ kind: 'expired' })]).actions).toEqual([])
  }
})

it('R39 never lets its cursor pass a change that it did not hand on, whatever happens', () => {
  const version = fc.integer({ min: 1, max: 2000 }).map(String)
  const anything: fc.Arbitrary<Input> = fc.oneof(
    version.map((v) => object(v)),
    version.map((v) => bookmark(v)),
    version.map((v) => bookmark(v, true)),
    version.map((v) => probed(v)),
    version.map((v): Input => ({ type: 'page', resourceVersion: v })),
    fc
      .constantFrom<Failure['kind']>('expired', 'too-large', 'unsupported', 'busy', 'server', 'network', 'protocol')
      .map((kind) => failed({ kind } as Failure)),
    fc.constantFrom<Input>({ type: 'closed' }, { type: 'silent' }, { type: 'elapsed' }, { type: 'overflow' }),
  )
  fc.assert(
    fc.property(fc.array(anything, { maxLength: 60 }), (inputs) => {
      let state = run(fresh(), [{ type: 'start' }]).state
      for (const input of inputs) {
        const before = state.memory.cursor
        let result: { state: State; actions: Action[] }
        try {
          result = step(state, input, env)
        } catch {
          // The driver never sends this input in this state; `refuse` says so.
          continue
        }
        const moved = result.state.memory.cursor !== before
        const handed = result.actions.some(({ type }) => type === 'emit' || type === 'advance' || type === 'commit')
        expect(moved && !handed).toBe(false)
        state = result.state
      }
    }),
  )
})

it('R33 needs no bookmarks: without one it resumes from the last object, and waits for its own deadline', () => {
  const { state } = run(resumed(), [...resume, object('501'), { type: 'closed' }])
  expect(state).toMatchObject({ name: 'watching', memory: { cursor: '501', bookmarks: false } })
  expect(silenceLimit(state, 300)).toBe(330_000)
})

it('R41 R32 takes what is older than the cursor for told before, and never moves back', () => {
  const open = run(fresh(), watching).state
  for (const old of [object('499'), object('499', true), bookmark('499')]) {
    const { state, actions } = run(open, [old])
    expect(actions).toEqual([])
    expect(state.memory.cursor).toBe('500')
  }
})

it('R81 R82 takes a new snapshot where the last one was written in part, and announces it', () => {
  const { state, actions } = run(createState('500', 'c', 'expired'), resume)
  expect(state.name).toBe('streaming')
  expect(types(actions)).not.toContain('commit')
  const done = run(state, [bookmark('600', true)])
  expect(find(done.actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '600', gap: 'expired' })
  expect(done.state.memory.gap).toBeUndefined()
})

it('R56 takes a snapshot that is older than the cursor for another history, whatever led to it', () => {
  const open = run(fresh(), watching).state
  const { actions } = run(open, [failed({ kind: 'expired' }), bookmark('400', true)])
  expect(find(actions, 'commit')).toEqual({ type: 'commit', resourceVersion: '400', gap: 'rewound' })
})

it('R25 R88 never watches from nowhere, and lists only when something was lost', () => {
  const version = fc.integer({ min: 501, max: 2000 }).map(String)
  const calm: fc.Arbitrary<Input> = fc.oneof(
    version.map((v) => object(v)),
    version.map((v) => bookmark(v)),
    fc.constant(probed('5000')),
    fc
      .constantFrom<Failure['kind']>('busy', 'unauthorized', 'refused', 'network')
      .map((kind) => failed({ kind } as Failure)),
    fc.constantFrom<Input>(
      { type: 'closed' },
      { type: 'silent' },
      { type: 'elapsed' },
      { type: 'overflow' },
      { type: 'drained' },
    ),
  )
  fc.assert(
    fc.property(fc.array(calm, { maxLength: 80 }), (inputs) => {
      let state = run(resumed(), resume).state
      for (const [index, input] of inputs.entries()) {
        // A day passes between any two of them: no period of silence asks for a resync.
        const at = { now: env.now + index * 86_400_000, random: 0.5 }
        let result: ReturnType<typeof step>
        try {
          result = step(state, input, at)
        } catch {
          // The driver never sends this input in this state; `refuse` says so.
          continue
        }
        state = result.state
        expect(find(result.actions, 'list')).toBeUndefined()
        const watch = find(result.actions, 'watch')
        if (watch !== undefined) expect([watch.initialEvents, watch.resourceVersion > '']).toEqual([false, true])
      }
    }),
  )
})
