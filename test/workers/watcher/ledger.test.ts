import { describe, expect, it } from 'vitest'
import type { RelayEvent } from '../../../shared/event.ts'
import { nameFeed, parseResources } from '../../../shared/resource.ts'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { chooseNormalizer } from '../../../workers/normalize/choose.ts'
import { createEventEncoder } from '../../../workers/watcher/encode.ts'
import { createKnown, type Known, type KnownSet, keyOf } from '../../../workers/watcher/known-set.ts'
import { createLedger, type Ledger, type Snapshot } from '../../../workers/watcher/ledger.ts'

const [watched] = parseResources('pods')
if (watched === undefined) throw new Error('no resource')
const normalizer = chooseNormalizer(watched)

const pod = (name: string, rv: number, more: { uid?: string; phase?: string; labels?: Record<string, string> } = {}) =>
  normalizer.read({
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'a',
      uid: more.uid ?? `u-${name}`,
      resourceVersion: String(rv),
      labels: more.labels ?? {},
      managedFields: [{ manager: 'kubelet' }],
    } as KubeObject['metadata'] & object,
    status: { phase: more.phase ?? 'Running' },
  })

function create(known: KnownSet = new Map(), mayLeave = false): Ledger {
  const encoder = createEventEncoder('c', watched as NonNullable<typeof watched>, 'pod')
  return createLedger({ known, normalizer, encoder, history: 0, mayLeave })
}

/** The events since the last call, in short, and all of them. */
function take(ledger: Ledger): { brief: string[]; events: RelayEvent[]; states: string[] } {
  const operations = ledger.take()
  const events = operations.flatMap((one) => (one.op === 'event' ? [JSON.parse(one.json) as RelayEvent] : []))
  const brief = events.map(({ type, data, synthetic }) =>
    [type.replace(/^k8s\.(pod|relay)\./, ''), data.name, data.resourceVersion, synthetic].filter(Boolean).join(' '),
  )
  return {
    brief,
    events,
    states: operations.flatMap((one) => (one.op === 'set' || one.op === 'delete' ? [`${one.op} ${one.key}`] : [])),
  }
}

const knownOf = (...pods: ReturnType<typeof pod>[]): KnownSet =>
  new Map(pods.map((one): [string, Known] => [keyOf(one), createKnown(one)]))

function relist(ledger: Ledger, objects: KnownSet, more: Partial<Snapshot> = {}): void {
  const snapshot = { objects, resourceVersion: '90', since: '5', gap: 'expired' as const, isFirstSync: false, ...more }
  for (const _ of ledger.reconcile(snapshot, 0));
}

describe('following a watch', () => {
  it('R41 suppresses what is known already, by uid and version', () => {
    const ledger = create()
    ledger.follow(pod('web', 6), false, 0)
    ledger.follow(pod('web', 6), false, 0)
    ledger.follow(pod('web', 5), false, 0)
    ledger.follow(pod('web', 7), true, 0)
    ledger.follow(pod('web', 7), true, 0)
    expect(take(ledger).brief).toEqual(['added web 6', 'deleted web 7'])
  })

  it('R85 tells the end of an object whose name another has now', () => {
    const ledger = create()
    ledger.follow(pod('web', 6, { uid: 'one' }), false, 0)
    ledger.follow(pod('web', 9, { uid: 'two' }), false, 0)
    const { brief, events } = take(ledger)
    expect(brief).toEqual(['added web 6', 'deleted web 6 recreated', 'added web 9'])
    expect(events.map(({ data }) => data.uid)).toEqual(['one', 'one', 'two'])
  })

  it('R36 says of a deletion in a watch with a selector that the object may live on', () => {
    const [sure, unsure] = [create(knownOf(pod('web', 6))), create(knownOf(pod('web', 6)), true)]
    for (const ledger of [sure, unsure]) ledger.follow(pod('web', 7), true, 0)
    const gone = { type: 'gone', by: ['deleted', 'unselected'] }
    expect(take(unsure).events[0]?.data.changes).toContainEqual(gone)
    expect(take(sure).events[0]?.data.changes).not.toContainEqual(gone)
  })

  it('R31 keeps of one object only the last state beside all of its events', () => {
    const ledger = create()
    ledger.follow(pod('web', 6), false, 0)
    ledger.follow(pod('web', 7), false, 0)
    ledger.follow(pod('web', 8), true, 0)
    expect(take(ledger)).toMatchObject({ brief: { length: 3 }, states: ['delete a/web'] })
  })

  it('R95 hands on no managedFields', () => {
    const ledger = create()
    ledger.follow(pod('web', 6), false, 0)
    expect(JSON.stringify(ledger.take())).not.toContain('managedFields')
  })
})

describe('comparing a snapshot with what is known', () => {
  it('R42 R82 R83 R86 tells deletions first, marks all as found by a relist, and is silent of what did not change', () => {
    const ledger = create(knownOf(pod('gone', 3), pod('moved', 4), pod('same', 5)))
    relist(ledger, knownOf(pod('new', 8), pod('moved', 7, { phase: 'Failed' }), pod('same', 5)))
    const { brief, events } = take(ledger)
    expect(brief).toEqual(['gap', 'deleted gone 3 relist', 'added new 8 relist', 'modified moved 7 relist'])
    expect(events[0]?.data).toMatchObject({ reason: 'expired', fromResourceVersion: '5', toResourceVersion: '90' })
    expect(events[1]?.data).toMatchObject({ uid: 'u-gone', phase: 'Running' })
  })

  it('R84 tells of another object under the old name as two', () => {
    const ledger = create(knownOf(pod('web', 3, { uid: 'one' })))
    relist(ledger, knownOf(pod('web', 8, { uid: 'two' })))
    expect(take(ledger).brief).toEqual(['gap', 'deleted web 3 relist', 'added web 8 relist'])
  })

  it('R1 keeps silent of what a first sync finds, and of what vanished since a first sync that was broken off', () => {
    const ledger = create(knownOf(pod('gone', 3)))
    relist(ledger, knownOf(pod('web', 4)), { gap: undefined, since: '', isFirstSync: true })
    expect(take(ledger)).toMatchObject({ brief: [], states: ['delete a/gone', 'set a/web'] })
  })

  it('R56 compares states where history was replaced: the same version may be of another state there', () => {
    const ledger = create(knownOf(pod('web', 6), pod('same', 5)))
    relist(ledger, knownOf(pod('web', 6, { phase: 'Failed' }), pod('same', 5)), { gap: 'rewound' })
    ledger.follow(pod('web', 7), false, 0)
    const { brief, events } = take(ledger)
    expect(brief).toEqual(['gap', 'modified web 6 relist', 'modified web 7'])
    // Versions are given out once more, so ids tell the histories apart.
    expect(events.slice(1).map(({ id }) => id)).toEqual(['c/u-web/6~1-relist', 'c/u-web/7~1'])
    expect(ledger.history).toBe(1)
  })
})

it('R28 a cursor belongs to one collection and selection: whatever changes them names another feed', () => {
  const texts = [
    'pods',
    'pods?namespace=a',
    'pods?labelSelector=a=b',
    'pods?labelSelector=a=c',
    'apps/v1/pods',
    'v2/pods',
  ]
  const names = texts.map((text) => parseResources(text).map(nameFeed)[0])
  expect(new Set(names).size).toBe(texts.length)
})
