import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EndedTerm, LeaseData } from '../../../shared/lease.ts'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { createLeaseNormalizer } from '../../../workers/normalize/lease.ts'

const leaseNormalizer = createLeaseNormalizer()
const at = (seconds: number) => ({ now: seconds * 1000, isFirstSync: false })
const time = (seconds: number) => new Date(seconds * 1000).toISOString()
let version = 0
const lease = (holder: string | null, more: Record<string, unknown> = {}): LeaseData =>
  leaseNormalizer.read({
    metadata: { name: 'lock', namespace: 'a', uid: 'u', resourceVersion: String(++version) },
    spec: { holderIdentity: holder, leaseDurationSeconds: 15, ...more },
  })
const follow = (old: LeaseData | undefined, next: LeaseData, seconds: number) =>
  leaseNormalizer.follow(old, next, at(seconds))

describe('what happened to a lease', () => {
  const held = follow(undefined, lease('a', { renewTime: 'r0' }), 10).data
  const expire = (old: LeaseData, seconds: number) => leaseNormalizer.expire?.(old, at(seconds)).data as LeaseData

  it('acquired', () => {
    const { changes, data, isEvent } = follow(undefined, lease('a'), 10)
    expect([changes, isEvent]).toEqual([[{ type: 'acquired', to: 'a' }], true])
    expect(data).toMatchObject({
      renewed: time(10),
      term: { holder: 'a', from: time(10), began: 'acquired', renewals: 0 },
    })
  })

  it('renewed, which is no event but moves the state on', () => {
    const { changes, data, isEvent } = follow(held, lease('a', { renewTime: 'r1' }), 12)
    expect([changes, isEvent]).toEqual([[], false])
    expect(data).toMatchObject({ renewTime: 'r1', renewed: time(12), term: { from: time(10), renewals: 1 } })
  })

  it('touched in another way, which is an event and no renewal', () => {
    const { isEvent, data } = follow(held, { ...lease('a', { renewTime: 'r0' }), labels: { x: 'y' } }, 12)
    expect(isEvent).toBe(true)
    expect(data).toMatchObject({ renewed: time(10), term: { renewals: 0 } })
  })

  it('released', () => {
    const { changes, data, endedTerm } = follow(held, lease(null, { leaseDurationSeconds: 1 }), 30)
    expect(changes).toEqual([{ type: 'released', from: 'a' }])
    expect(data).toMatchObject({ holder: null, previousHolder: 'a', leaderlessSince: time(30) })
    expect(data.term).toBeUndefined()
    expect(endedTerm).toMatchObject({ holder: 'a', from: time(10), to: time(30), ended: 'released' })
  })

  it('acquired after a release, with the leaderless time between', () => {
    const free = follow(held, lease(''), 30).data
    const { changes, data } = follow(free, lease('b'), 32.5)
    expect(changes).toEqual([{ type: 'acquired', to: 'b', leaderlessSeconds: 2.5 }])
    expect(data).toMatchObject({ previousHolder: 'a', term: { holder: 'b', leaderlessSeconds: 2.5 } })
    expect(data.leaderlessSince).toBeUndefined()
  })

  it('transferred, whatever the counter says', () => {
    const { changes, endedTerm, data } = follow(held, lease('b'), 30)
    expect(changes).toEqual([{ type: 'transferred', from: 'a', to: 'b' }])
    expect(endedTerm).toMatchObject({ holder: 'a', ended: 'transferred', to: time(30) })
    expect(data).toMatchObject({ previousHolder: 'a', term: { began: 'transferred' } })
  })

  it('expired, then taken by another: one term ends, once', () => {
    const dead = expire(held, 25)
    expect(dead).toMatchObject({ holder: 'a', expired: true, leaderlessSince: time(25) })
    const { changes, endedTerm, data } = follow(dead, lease('b'), 28)
    expect(changes).toEqual([{ type: 'transferred', from: 'a', to: 'b', leaderlessSeconds: 3 }])
    expect(endedTerm).toBeUndefined()
    expect(data.expired).toBe(false)
  })

  it('expired, then renewed by the same holder', () => {
    const { changes, data } = follow(expire(held, 25), lease('a', { renewTime: 'r9' }), 27)
    expect(changes).toEqual([{ type: 'reacquired', to: 'a', leaderlessSeconds: 2 }])
    expect(data).toMatchObject({ term: { began: 'reacquired', leaderlessSeconds: 2 }, expired: false })
  })

  it('deleted', () => {
    const { endedTerm } = leaseNormalizer.end(held, lease('a'), at(40))
    expect(endedTerm).toMatchObject({ ended: 'deleted', to: time(40) })
  })

  it('interrupted unseen, as its counter tells', () => {
    const counted = follow(undefined, lease('a', { renewTime: 'r0', leaseTransitions: 3 }), 10).data
    const { changes, endedTerm, data } = follow(counted, lease('a', { renewTime: 'r1', leaseTransitions: 5 }), 30)
    expect(changes).toEqual([{ type: 'reacquired', to: 'a' }])
    expect(endedTerm).toMatchObject({ holder: 'a', to: time(30), ended: 'unseen', transitions: 3 })
    expect(data.term).toMatchObject({ from: time(30), began: 'reacquired', transitions: 5 })
  })

  it('renewed, as an event for those who want all of them', () => {
    const logging = createLeaseNormalizer('log')
    const { changes, isEvent } = logging.follow(held, lease('a', { renewTime: 'r1' }), at(12))
    expect([changes, isEvent]).toEqual([[{ type: 'renewed', from: 'r0', to: 'r1' }], true])
  })

  it('with who begins and ends, so that it can be found by its holder', () => {
    const first = follow(undefined, lease('a'), 10)
    expect(first).toMatchObject({ begunBy: 'a' })
    expect(follow(first.data, lease('b'), 20)).toMatchObject({
      begunBy: 'b',
      endedTerm: { holder: 'a', namespace: 'a', name: 'lock' },
    })
    expect(follow(first.data, lease(''), 20)).not.toHaveProperty('begunBy')
  })

  it('there before the relay: its term is only observed, since when the holder says', () => {
    const data = lease('a', { acquireTime: '2026-01-01T00:00:00.123456Z' })
    const { data: seen } = leaseNormalizer.follow(undefined, data, { now: 0, isFirstSync: true })
    expect(seen.term).toMatchObject({ began: 'observed', from: '2026-01-01T00:00:00.123456Z' })
  })

  it('and it lives for its duration, unless it has none, nobody holds it, or it expired already', () => {
    expect(leaseNormalizer.lifetime?.(held)).toBe(15_000)
    expect(leaseNormalizer.lifetime?.(lease('a', { leaseDurationSeconds: 0 }))).toBeUndefined()
    expect(leaseNormalizer.lifetime?.(lease('a', { leaseDurationSeconds: null }))).toBeUndefined()
    expect(leaseNormalizer.lifetime?.(lease(null))).toBeUndefined()
    expect(leaseNormalizer.lifetime?.(expire(held, 25))).toBeUndefined()
  })
})

it('ends each term that began exactly once, in order, with no holder in two at a time', () => {
  const version = fc.record({
    holder: fc.constantFrom('a', 'b', 'c', null),
    renewTime: fc.constantFrom('r1', 'r2', 'r3'),
    after: fc.integer({ min: 1, max: 40 }),
  })
  fc.assert(
    fc.property(fc.array(version, { maxLength: 30 }), (history) => {
      let now = 0
      let known: LeaseData | undefined
      const terms: EndedTerm[] = []
      const step = (outcome: { data: LeaseData; endedTerm?: object }) => {
        known = outcome.data
        if (outcome.endedTerm !== undefined) terms.push(outcome.endedTerm as EndedTerm)
      }
      for (const { holder, renewTime, after } of history) {
        const life = known === undefined ? undefined : leaseNormalizer.lifetime?.(known)
        if (known !== undefined && life !== undefined && life < after * 1000) {
          step(leaseNormalizer.expire?.(known, at(now + life / 1000)) as { data: LeaseData })
        }
        now += after
        step(follow(known, lease(holder, { renewTime }), now))
        const isHeld = known?.holder !== null && known?.expired === false
        expect(known?.term?.holder ?? null).toBe(isHeld ? (known?.holder ?? null) : null)
      }
      for (const [index, term] of terms.entries()) {
        expect(Date.parse(term.to)).toBeGreaterThanOrEqual(Date.parse(term.from))
        expect(Date.parse(terms[index + 1]?.from ?? term.to)).toBeGreaterThanOrEqual(Date.parse(term.to))
      }
    }),
  )
})

it('tells of the recorded elections exactly what happened in them', () => {
  const known = new Map<string, LeaseData>()
  const seen: string[] = []
  const terms: string[] = []
  for (const line of readFileSync('test/recordings/leases-lifecycle.body', 'utf8').trim().split('\n')) {
    const { type, object } = JSON.parse(line) as { type: string; object: KubeObject }
    if (type === 'BOOKMARK' || object.metadata?.namespace === 'kube-node-lease') continue
    const data = leaseNormalizer.read(object)
    const outcome = leaseNormalizer.follow(known.get(data.uid), data, { now: Date.now(), isFirstSync: false })
    known.set(data.uid, outcome.data)
    if (data.name !== 'kube-scheduler') continue
    seen.push(...outcome.changes.map((one) => one.type))
    if (outcome.endedTerm) terms.push((outcome.endedTerm as EndedTerm).ended)
  }
  // Started; a polite release and an acquisition; a kill -9 and a takeover.
  expect(seen).toEqual(['acquired', 'released', 'acquired', 'transferred'])
  expect(terms).toEqual(['released', 'transferred'])
})
