import { gapType } from '../../../shared/event.ts'
import type { History } from '../history.ts'
import {
  type Append,
  firstCursor,
  isInGap,
  isLive,
  isNews,
  isUndone,
  readEvidence,
  readVersion,
  type Sight,
} from './evidence.ts'

interface Record_ {
  uid: string
  resourceVersion: string
  labels: Record<string, string>
  phase?: string
  holder?: string | null
}

/** Plays an append's states onto what is known. */
function play(known: Map<string, Record_>, append: Append): void {
  for (const operation of append.batch.operations) {
    if (operation.op === 'set') known.set(operation.key, JSON.parse(operation.record) as Record_)
    else if (operation.op === 'delete') known.delete(operation.key)
  }
}

/** Atomic: whenever a feed's cursor moves, and no relist is half written, the known set beside it is the server's state at exactly that version. */
export function checkAtomic(history: History): string[] {
  const { appends, sights } = readEvidence(history)
  const found: string[] = []
  for (const feed of history.feeds) {
    const known = new Map<string, Record_>()
    const seen = sights.get(feed.id) ?? []
    let cursor = ''
    for (const append of appends) {
      if (append.feed !== feed.id) continue
      play(known, append)
      const { resourceVersion } = append.batch
      if (resourceVersion === cursor || append.batch.note.includes('"unfinished"')) continue
      cursor = resourceVersion
      const mine = describe([...known].map(([key, { uid, resourceVersion: rv }]) => `${key} ${uid}@${rv}`))
      const timelines = history.restores.filter(({ at }) => at <= append.at).length
      const theirs = Array.from({ length: timelines + 1 }, (_, timeline) =>
        describe(stateAt(history, seen, Number(cursor), timeline)),
      )
      if (!theirs.includes(mine)) {
        found.push(`${feed.id} batch ${append.batch.batch} at ${cursor}: known ${mine}, true ${theirs.at(-1)}`)
      }
    }
  }
  return found
}

function stateAt(history: History, sights: Sight[], rv: number, timeline: number): string[] {
  const state = new Map<string, string>()
  for (const { version, type, uid } of sights) {
    if (version.rv > rv || version.timeline > timeline || isUndone(history, version, timeline)) continue
    if (type === 'DELETED') state.delete(version.key)
    else state.set(version.key, `${version.key} ${uid}@${version.rv}`)
  }
  return [...state.values()]
}

function describe(lines: string[]): string {
  return lines.toSorted().join(', ') || 'nothing'
}

/** Bookmarkable: a cursor never stands behind a change that the log does not hold, and goes back only where the server did. */
export function checkBookmarkable(history: History): string[] {
  const evidence = readEvidence(history)
  const found: string[] = []
  for (const { id } of history.feeds) {
    const appends = evidence.appends.filter(
      ({ feed, batch }) => feed === id && batch.resourceVersion !== '' && !batch.note.includes('"unfinished"'),
    )
    for (const [index, append] of appends.entries()) {
      const before = appends[index - 1]
      if (before === undefined || Number(append.batch.resourceVersion) >= Number(before.batch.resourceVersion)) continue
      const wasRestored = history.restores.some(({ at }) => at <= append.at)
      if (!wasRestored)
        found.push(`${id}: the cursor goes back to ${append.batch.resourceVersion} in batch ${append.batch.batch}`)
    }
    const places = new Map<string, number>()
    for (const { feed, event, seq } of evidence.entries) {
      if (feed === id && isLive(event)) places.set(`${event.data.uid}@${event.data.resourceVersion}`, seq)
    }
    const gaps = evidence.gaps.filter((gap) => gap.feed === id)
    const first = firstCursor(evidence, id)
    for (const sight of evidence.sights.get(id) ?? []) {
      if (sight.rv <= first || isUndone(history, sight.version) || !isNews(sight)) continue
      if (isInGap(history, gaps, sight)) continue
      const place = places.get(`${sight.uid}@${sight.rv}`) ?? Number.POSITIVE_INFINITY
      const early = appends.find(
        ({ at, batch, to }) => at >= sight.version.at && Number(batch.resourceVersion) >= sight.rv && to < place,
      )
      if (early !== undefined) {
        found.push(`${id}: batch ${early.batch.batch} claims ${early.batch.resourceVersion} without @${sight.rv}`)
      }
    }
  }
  return found
}

/** Previous-state-correct: what an event says was before is what the log left there. */
export function checkPreviousState(history: History): string[] {
  const { appends } = readEvidence(history)
  const found: string[] = []
  const known = new Map<string, Record_>()
  const synced = new Set<string>()
  for (const append of appends) {
    // Within a batch only the last state of an object is kept, so events are played one by one, then the states. What was
    // there at a first sync and changed in the batch that ends it was never told of as it was.
    const isNew = !synced.has(append.feed)
    if (append.batch.resourceVersion !== '') synced.add(append.feed)
    const during = new Map(known)
    for (const operation of append.batch.operations) {
      if (operation.op !== 'event') continue
      const event = JSON.parse(operation.json)
      if (event.type === gapType) continue
      const key = `${append.feed} ${event.data.namespace}/${event.data.name}`
      const before = during.get(key)
      for (const change of event.data.changes) {
        const expected =
          change.type === 'phase' ? before?.phase : change.type === 'labels' ? (before?.labels ?? {}) : undefined
        if (change.type !== 'phase' && change.type !== 'labels') continue
        if (!isNew && JSON.stringify(change.from) !== JSON.stringify(expected)) {
          found.push(`${event.id}: ${change.type} from ${JSON.stringify(change.from)}, was ${JSON.stringify(expected)}`)
        }
      }
      if (event.type.endsWith('.deleted')) during.delete(key)
      else during.set(key, event.data)
    }
    const own = new Map<string, Record_>()
    for (const [key, value] of known)
      if (key.startsWith(`${append.feed} `)) own.set(key.slice(append.feed.length + 1), value)
    play(own, append)
    for (const key of [...known.keys()]) if (key.startsWith(`${append.feed} `)) known.delete(key)
    for (const [key, value] of own) known.set(`${append.feed} ${key}`, value)
  }
  return found
}

/** Create/delete-correct: nothing is added that is there, nothing changed or deleted that is not, and events and known set agree. */
export function checkCreateDelete(history: History): string[] {
  const { appends } = readEvidence(history)
  const found: string[] = []
  for (const feed of history.feeds) {
    const there = new Map<string, string>()
    let isSynced = false
    const known = new Map<string, Record_>()
    for (const append of appends) {
      if (append.feed !== feed.id) continue
      const touched = new Set<string>()
      for (const operation of append.batch.operations) {
        if (operation.op !== 'event') continue
        const event = JSON.parse(operation.json)
        if (event.type === gapType) continue
        const key = `${event.data.namespace}/${event.data.name}`
        touched.add(key)
        const { uid } = readVersion(event)
        const verb = event.type.slice(event.type.lastIndexOf('.') + 1)
        const holds = there.get(key)
        // What was there at a first sync, and went in the batch that ends it, was never told of.
        const isSilent = !isSynced && verb !== 'added' && holds === undefined
        if (!isSilent && (verb === 'added' ? holds !== undefined : holds !== uid)) {
          found.push(`${event.id}: ${verb}, while ${holds ?? 'nothing'} is there under ${key}`)
        }
        if (verb === 'deleted') there.delete(key)
        else there.set(key, uid)
      }
      play(known, append)
      for (const key of touched) {
        const isTold = known.get(key)?.uid === there.get(key)
        if (!isTold) found.push(`batch ${append.batch.batch}: ${key} is told of otherwise than it is known`)
      }
      isSynced ||= append.batch.resourceVersion !== ''
      there.clear()
      for (const [key, { uid }] of known) there.set(key, uid)
    }
  }
  return found
}
