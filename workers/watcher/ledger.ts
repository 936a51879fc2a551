import type { Change, ObjectData, Synthetic, Verb } from '../../shared/event.ts'
import type { EventOperation, Operation } from '../../shared/log/writer.ts'
import { type Moment, type Normalizer, type Outcome, splitData } from '../normalize/normalizer.ts'
import { createRecent } from '../reflector/recent.ts'
import { compareResourceVersions } from '../reflector/resource-version.ts'
import type { GapReason } from '../reflector/state.ts'
import type { EventEncoder } from './encode.ts'
import { createKnown, type Known, type KnownSet, keyOf } from './known-set.ts'
import type { Lifetime } from './lease-clock.ts'

/** How many ended terms are kept for each Lease and holder, and how long. */
const termsKept = { count: 500, ms: 30 * 86_400_000 }

/** How many objects are kept parsed, beside their JSON: who was heard of last is soon heard of again. */
const recentObjects = 8192

/** What a deletion says in a watch with a selector (R36). */
const goneOrLeft: Change = { type: 'gone', by: ['deleted', 'unselected'] }

/** Turns versions of objects into log operations, against what is known of them. Pure but for the known set that it keeps. */
export interface Ledger {
  /** A version from the watch. */
  follow(data: ObjectData, gone: boolean, now: number): void
  /** The lifetime of an object passed; ignored when a newer version arrived meanwhile. */
  expire(key: string, resourceVersion: string, now: number): void
  /** Compares a snapshot with what is known; yields after every object, so that it can be spread over batches. */
  reconcile(snapshot: Snapshot, now: number): Generator<void>
  /** What is known of an object. */
  get(key: string): Known | undefined
  /** The operations since the last call. Of one object's states only the last is among them. */
  take(): Operation[]
  /** How many events and states wait to be taken. */
  readonly size: number
  /** Whether events are among them. */
  readonly hasNews: boolean
  /** How often the server's history was replaced by an older one. */
  readonly history: number
}

export interface Snapshot {
  objects: ReadonlyMap<string, Known>
  resourceVersion: string
  /** The cursor before it; empty at the first sync. */
  since: string
  gap?: GapReason | undefined
  /** True when nobody needs to hear of what is found: it was there before the relay. */
  isFirstSync: boolean
}

/** Creates a ledger. `onLife` hears how long each object will live unless it is heard of again; undefined: for ever. */
export function createLedger(deps: {
  known: KnownSet
  normalizer: Normalizer
  encoder: EventEncoder
  /** As the last writer left it. */
  history: number
  /** True where a deletion may also mean that the object left the selector of the watch: the server tells both alike. */
  mayLeave?: boolean
  onLife?: (key: string, resourceVersion: string, lifetime: Lifetime) => void
}): Ledger {
  const { known, normalizer, encoder, onLife } = deps
  let { history } = deps
  const recent = createRecent<string, ObjectData>(recentObjects)
  let appends: Operation[] = []
  let states = new Map<string, Operation>()

  function record(
    key: string,
    verb: Verb,
    outcome: Outcome,
    now: number,
    synthetic?: Synthetic,
    isSilent = false,
  ): void {
    const { endedTerm, begunBy } = outcome
    const isUncertain = verb === 'deleted' && deps.mayLeave === true
    const changes = isUncertain ? [...outcome.changes, goneOrLeft] : outcome.changes
    const { data, kept, attached } = splitData(outcome.data)
    const dataJson = JSON.stringify(data)
    const event =
      outcome.isEvent && !isSilent ? write(verb, data, join(dataJson, attached), changes, now, synthetic) : undefined
    if (endedTerm !== undefined) {
      const { holder } = endedTerm
      appends.push({ op: 'term', key, holder, term: JSON.stringify(endedTerm), keep: termsKept })
    }
    if (begunBy !== undefined) appends.push({ op: 'hold', key, holder: begunBy })
    if (verb === 'deleted') {
      known.delete(key)
      recent.delete(key)
      states.set(key, { op: 'delete', key })
      onLife?.(key, data.resourceVersion, undefined)
    } else {
      const record = kept === undefined ? dataJson : join(dataJson, { kept })
      known.set(key, createKnown(data, record))
      recent.set(key, kept === undefined ? data : { ...data, kept })
      const within = event && kept === undefined ? { event, bytes: Buffer.byteLength(record) } : undefined
      states.set(key, { op: 'set', key, record, ...(within && { within }) })
      onLife?.(key, data.resourceVersion, outcome.keepsLife === true ? 'unchanged' : normalizer.lifetime?.(data))
    }
  }

  function write(
    verb: Verb,
    data: ObjectData,
    dataJson: string,
    changes: Change[],
    now: number,
    synthetic?: Synthetic,
  ): EventOperation {
    const json = encoder.encode({ verb, synthetic, data, dataJson, changes, now, history })
    const event: EventOperation = { op: 'event', json }
    appends.push(event)
    return event
  }

  function recall(key: string): ObjectData | undefined {
    const stored = known.get(key)
    return stored === undefined ? undefined : (recent.get(key) ?? (JSON.parse(stored.json) as ObjectData))
  }

  function remove(key: string, last: ObjectData | undefined, moment: Moment, synthetic?: Synthetic): void {
    const old = recall(key)
    if (old === undefined) return
    record(key, 'deleted', normalizer.end(old, last ?? old, moment), moment.now, synthetic, moment.isFirstSync)
  }

  function put(key: string, data: ObjectData, moment: Moment, synthetic?: Synthetic): void {
    const old = recall(key)
    const outcome = normalizer.follow(old, data, moment)
    record(key, old === undefined ? 'added' : 'modified', outcome, moment.now, synthetic, moment.isFirstSync)
  }

  return {
    follow(data, gone, now) {
      const key = keyOf(data)
      const stored = known.get(key)
      const isSame = stored?.uid === data.uid
      // A version that is known already, or older: the watch told it twice (R41).
      if (isSame && isNotNewer(data.resourceVersion, stored.resourceVersion)) return
      if (gone) {
        if (isSame) remove(key, data, { now, isFirstSync: false })
        return
      }
      // Another object under the old name: the old one's end was never told (R85).
      if (stored !== undefined && !isSame) remove(key, undefined, { now, isFirstSync: false }, 'recreated')
      put(key, data, { now, isFirstSync: false })
    },
    expire(key, resourceVersion, now) {
      if (known.get(key)?.resourceVersion !== resourceVersion) return
      const old = recall(key)
      if (old === undefined || normalizer.expire === undefined) return
      record(key, 'expired', normalizer.expire(old, { now, isFirstSync: false }), now, 'clock')
    },
    *reconcile({ objects, resourceVersion, since, gap, isFirstSync }, now) {
      const isRewound = gap === 'rewound'
      if (isRewound) history++
      if (gap !== undefined) {
        appends.push({ op: 'event', json: encoder.encodeGap({ reason: gap, from: since, to: resourceVersion, now }) })
      }
      for (const [key, { uid }] of [...known]) {
        if (objects.get(key)?.uid === uid) continue
        remove(key, undefined, { now, isFirstSync }, 'relist')
        yield
      }
      for (const [key, { resourceVersion: version, json }] of objects) {
        const isSameVersion = known.get(key)?.resourceVersion === version
        if (isSameVersion && !isRewound) continue
        const found = JSON.parse(json) as ObjectData
        // In another history, the same version may be of another state.
        if (isSameVersion && !tellsNews(recall(key), found)) continue
        put(key, found, { now, isFirstSync }, 'relist')
        yield
      }
    },
    get: (key) => known.get(key),
    take() {
      const operations = [...appends, ...states.values()]
      appends = []
      states = new Map()
      return operations
    },
    get size() {
      return appends.length + states.size
    },
    get hasNews() {
      return appends.length > 0
    },
    get history() {
      return history
    },
  }
}

/** Fields of an object that a comparison with what is known says nothing about: the relay's own finding, and what is not kept. */
const incomparable = new Set(['expired', 'attached'])

/** Whether what a list tells of an object differs from what is known. */
function tellsNews(known: ObjectData | undefined, found: ObjectData): boolean {
  return Object.entries(found).some(
    ([field, value]) => !incomparable.has(field) && JSON.stringify(known?.[field]) !== JSON.stringify(value),
  )
}

function isNotNewer(version: string, known: string): boolean {
  const order = compareResourceVersions(version, known)
  return order !== undefined && order <= 0
}

/** Adds members to the JSON of an object without parsing it. */
function join(json: string, members: object | undefined): string {
  return members === undefined ? json : `${json.slice(0, -1)},${JSON.stringify(members).slice(1)}`
}
