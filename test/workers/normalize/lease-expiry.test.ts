import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RelayEvent } from '../../../shared/event.ts'
import type { EndedTerm, LeaseData } from '../../../shared/lease.ts'
import type { Clock } from '../../../workers/clock.ts'
import { createLeaseNormalizer } from '../../../workers/normalize/lease.ts'
import { createEventEncoder } from '../../../workers/watcher/encode.ts'
import type { KnownSet } from '../../../workers/watcher/known-set.ts'
import { createLeaseClock } from '../../../workers/watcher/lease-clock.ts'
import { createLedger } from '../../../workers/watcher/ledger.ts'

const durationSeconds = 10
const watched = { group: 'coordination.k8s.io', version: 'v1', resource: 'leases' }

/** A clock that stands still until a test moves it, and lets promises settle between two timers. */
function createManualClock() {
  let now = 1_000_000
  const timers = new Set<{ at: number; every: number; run: () => void }>()
  const set = (ms: number, every: number, run: () => void) => {
    const timer = { at: now + ms, every, run }
    timers.add(timer)
    return () => void timers.delete(timer)
  }
  const clock: Clock = {
    now: () => now,
    after: (ms, run) => set(ms, 0, run),
    every: (ms, run) => set(ms, ms, run),
    turn: () => Promise.resolve(),
  }
  async function pass(ms: number): Promise<void> {
    const end = now + ms
    for (;;) {
      const next = [...timers].toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      now = next.at
      if (next.every === 0) timers.delete(next)
      else next.at += next.every
      next.run()
      await new Promise((resolve) => setImmediate(resolve))
    }
    now = end
  }
  return { clock, pass }
}

/** One Lease, the server that has it, and one watcher after the other that writes what happens to it. */
function createStage() {
  const { clock, pass } = createManualClock()
  const normalizer = createLeaseNormalizer()
  const known: KnownSet = new Map()
  const events: { type: string; changes: string[]; at: number }[] = []
  const terms: EndedTerm[] = []
  const undelivered: LeaseData[] = []
  const isUp = { synced: true, reachable: true }
  let version = 0
  let lease: LeaseData | undefined
  let stop: () => void = () => undefined
  let ledger: ReturnType<typeof createLedger>

  function startWatcher(): void {
    const lives = createLeaseClock({
      isSynced: () => isUp.synced,
      confirm: async (_, asked) => isUp.reachable && lease?.resourceVersion === asked,
      expire(key, expired) {
        ledger.expire(key, expired, clock.now())
        collect()
      },
      clock,
    })
    ledger = createLedger({
      known,
      normalizer: normalizer as unknown as Parameters<typeof createLedger>[0]['normalizer'],
      encoder: createEventEncoder('test', watched, 'lease'),
      history: 0,
      onLife: lives.set,
    })
    for (const [key, { resourceVersion, json }] of known) {
      lives.set(key, resourceVersion, normalizer.lifetime?.(JSON.parse(json)))
    }
    stop = lives.stop
  }

  function collect(): void {
    for (const operation of ledger.take()) {
      if (operation.op === 'term') terms.push(JSON.parse(operation.term))
      if (operation.op !== 'event') continue
      const { type, data } = JSON.parse(operation.json) as RelayEvent
      events.push({ type, changes: data.changes.map((change) => change.type), at: clock.now() })
    }
  }

  function deliver(): void {
    while (isUp.synced && undelivered.length > 0) {
      ledger.follow(undelivered.shift() as LeaseData, false, clock.now())
      collect()
    }
  }

  startWatcher()
  return {
    clock,
    pass,
    events,
    terms,
    isUp,
    /** What the watcher knows. */
    read: () => JSON.parse(known.get('a/lock')?.json ?? 'null') as LeaseData | null,
    write(spec: object, labels: Record<string, string> = {}) {
      lease = normalizer.read({
        metadata: { name: 'lock', namespace: 'a', uid: 'u', resourceVersion: String(++version), labels },
        spec: { leaseDurationSeconds: durationSeconds, ...spec },
      })
      undelivered.push(lease)
      deliver()
    },
    connect(synced: boolean) {
      isUp.synced = synced
      deliver()
    },
    replaceWatcher() {
      stop()
      startWatcher()
    },
  }
}

const expiries = (stage: ReturnType<typeof createStage>) =>
  stage.events.filter(({ type }) => type === 'k8s.lease.expired').length

describe('a lease', () => {
  const hold = (renewTime: string, holderIdentity = 'a') => ({ holderIdentity, renewTime })

  it('expires once when its time has passed, by the relay’s clock', async () => {
    const stage = createStage()
    stage.write(hold('1970-01-01T00:00:00Z'))
    await stage.pass(9_900)
    expect(expiries(stage)).toBe(0)
    await stage.pass(60_000)
    expect(expiries(stage)).toBe(1)
    expect(stage.terms).toMatchObject([{ holder: 'a', ended: 'expired', namespace: 'a', name: 'lock' }])
  })

  it('is not kept alive by somebody who only writes its labels', async () => {
    const stage = createStage()
    stage.write(hold('r1'))
    for (let n = 0; n < 10; n++) {
      await stage.pass(2_000)
      stage.write(hold('r1'), { n: String(n) })
    }
    expect(expiries(stage)).toBe(1)
    // Nor revived by it.
    expect(stage.read()).toMatchObject({ expired: true, holder: 'a' })
    expect(stage.read()?.term).toBeUndefined()
  })

  it.each<[string, object]>([
    ['no duration', { leaseDurationSeconds: null }],
    ['none to speak of', { leaseDurationSeconds: 0 }],
    ['a negative one', { leaseDurationSeconds: -5 }],
    ['an absurd one', { leaseDurationSeconds: 1e12 }],
    ['no holder', { holderIdentity: '' }],
  ])('never expires with %s', async (_, spec) => {
    const stage = createStage()
    stage.write({ ...hold('r1'), ...spec })
    await stage.pass(3_600_000)
    expect(expiries(stage)).toBe(0)
  })

  it('does not expire while the watch is not in sync, nor while nobody can confirm it', async () => {
    const stage = createStage()
    stage.write(hold('r1'))
    stage.connect(false)
    await stage.pass(60_000)
    expect(expiries(stage)).toBe(0)
    stage.isUp.reachable = false
    stage.connect(true)
    await stage.pass(60_000)
    expect(expiries(stage)).toBe(0)
    stage.isUp.reachable = true
    await stage.pass(3_000)
    expect(expiries(stage)).toBe(1)
  })

  it('that was renewed while nobody listened did not expire', async () => {
    const stage = createStage()
    stage.write(hold('r1'))
    stage.connect(false)
    await stage.pass(9_000)
    stage.write(hold('r2'))
    stage.connect(true)
    await stage.pass(9_000)
    expect(expiries(stage)).toBe(0)
  })

  it('gets one full duration from each new watcher, and its expiry is neither lost nor doubled by them', async () => {
    const stage = createStage()
    stage.write(hold('r1'))
    await stage.pass(8_000)
    stage.replaceWatcher()
    await stage.pass(9_000)
    expect(expiries(stage)).toBe(0)
    await stage.pass(3_000)
    expect(expiries(stage)).toBe(1)
    stage.replaceWatcher()
    await stage.pass(60_000)
    expect(expiries(stage)).toBe(1)
  })
})

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 14_000 }) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('renew' as const, 'touch' as const) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('take' as const), holder: fc.constantFrom('a', 'b', '') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('sync' as const, 'lose' as const, 'restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('cut' as const, 'mend' as const) }) },
)

it('whatever happens, expires only what was silent for its duration, once per term, and misses none in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (history) => {
      const stage = createStage()
      let [holder, renewal, touch] = ['a', 0, 0]
      /** The oracle: when the present watcher last had a sign that the holder lives. */
      let alive = stage.clock.now()
      let [delivered, heard] = ['', 0]
      const write = () => {
        stage.write({ holderIdentity: holder, renewTime: `r${renewal}` }, { touch: String(touch) })
      }
      const hear = () => {
        if (!stage.isUp.synced || delivered === `${holder} ${renewal}`) return
        delivered = `${holder} ${renewal}`
        alive = stage.clock.now()
      }
      const judge = () => {
        for (const event of stage.events.slice(heard)) {
          if (event.type !== 'k8s.lease.expired') continue
          expect(stage.isUp).toEqual({ synced: true, reachable: true })
          expect(event.at - alive).toBeGreaterThanOrEqual(durationSeconds * 1000)
        }
        heard = stage.events.length
      }
      write()
      hear()
      for (const one of history) {
        if (one.do === 'pass') await stage.pass(one.ms)
        judge()
        if (one.do === 'renew') renewal++
        if (one.do === 'touch') touch++
        if (one.do === 'take') holder = one.holder
        if (one.do === 'renew' || one.do === 'touch' || one.do === 'take') write()
        if (one.do === 'sync' || one.do === 'lose') stage.connect(one.do === 'sync')
        if (one.do === 'cut' || one.do === 'mend') stage.isUp.reachable = one.do === 'mend'
        if (one.do === 'restart') {
          stage.replaceWatcher()
          alive = stage.clock.now()
        }
        hear()
      }
      stage.connect(true)
      stage.isUp.reachable = true
      hear()
      await stage.pass(durationSeconds * 1000 + 3_000)
      judge()
      const last = stage.read()
      expect(last?.holder ?? '').toBe(holder)
      expect(last?.expired).toBe(holder !== '')
      expect(last?.term).toBeUndefined()
      // Each term that began has ended, and each expiry ended one.
      const count = (...types: string[]) =>
        stage.events.flatMap(({ changes }) => changes).filter((type) => types.includes(type)).length
      expect(stage.terms.length).toBe(count('acquired', 'transferred', 'reacquired'))
      expect(stage.terms.filter(({ ended }) => ended === 'expired').length).toBe(count('expired'))
    }),
    { numRuns: 150 },
  )
})
