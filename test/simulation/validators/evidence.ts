import { gapType, type RelayEvent } from '../../../shared/event.ts'
import { project, type Version } from '../cluster.ts'
import type { History, HistoryFeed } from '../history.ts'
import type { LogDeed } from '../simulated-log.ts'

export type Append = Extract<LogDeed, { type: 'append' }>

/** One entry that is in the log at the end, or was until it was trimmed. */
export interface Entry {
  seq: number
  at: number
  feed: string
  event: RelayEvent
  json: string
}

/** What a feed's watch could see of one change. */
export interface Sight {
  version: Version
  type: Version['type']
  uid: string
  rv: number
}

export interface Gap {
  seq: number
  at: number
  feed: string
  reason: string
  from: number
  to: number
}

/** What validators read out of a history. */
export interface Evidence {
  /** The appends that no rewind took back, in order. */
  appends: Append[]
  entries: Entry[]
  gaps: Gap[]
  /** What each feed could see, what a restore undid included. */
  sights: Map<string, Sight[]>
}

const cache = new WeakMap<History, Evidence>()

/** Reads the evidence of a history, once. */
export function readEvidence(history: History): Evidence {
  const known = cache.get(history)
  if (known !== undefined) return known
  const appends = findSurvivors(history.deeds)
  const entries = appends.flatMap(readEntries)
  const evidence: Evidence = {
    appends,
    entries,
    gaps: entries.filter(({ event }) => event.type === gapType).map(readGap),
    sights: new Map(history.feeds.map((feed) => [feed.id, lookThrough(history, feed)])),
  }
  cache.set(history, evidence)
  return evidence
}

function findSurvivors(deeds: readonly LogDeed[]): Append[] {
  interface Link {
    append: Append
    before: Link | undefined
  }
  let last: Link | undefined
  const lastAt: (Link | undefined)[] = []
  for (const deed of deeds) {
    lastAt.push(last)
    if (deed.type === 'append') last = { append: deed, before: last }
    else if (deed.type === 'rewind') last = lastAt[deed.deeds]
  }
  const found: Append[] = []
  for (let link = last; link !== undefined; link = link.before) found.push(link.append)
  return found.reverse()
}

function readEntries(append: Append): Entry[] {
  let seq = append.from
  return append.batch.operations.flatMap((operation) =>
    operation.op === 'event'
      ? [
          {
            seq: seq++,
            at: append.at,
            feed: append.feed,
            event: JSON.parse(operation.json) as RelayEvent,
            json: operation.json,
          },
        ]
      : [],
  )
}

function readGap({ seq, at, feed, event }: Entry): Gap {
  const { reason, fromResourceVersion, toResourceVersion } = event.data as Record<string, unknown>
  return { seq, at, feed, reason: String(reason), from: Number(fromResourceVersion), to: Number(toResourceVersion) }
}

function lookThrough(history: History, feed: HistoryFeed): Sight[] {
  return history.versions.flatMap((version) => {
    if (version.collection !== feed.collection) return []
    const seen = project(version, feed.watched.labelSelector)
    if (seen === undefined) return []
    return [{ version, type: seen.type, uid: seen.object.metadata?.uid ?? '', rv: version.rv }]
  })
}

/** True when a restore before this timeline undid the version. */
export function isUndone(history: History, version: Version, timeline = history.restores.length): boolean {
  return history.restores.slice(version.timeline, timeline).some(({ to }) => version.rv > to)
}

/** The first version of a feed whose like must be told of: what was there at the first sync is no news. */
export function firstCursor(evidence: Evidence, feed: string): number {
  const first = evidence.appends.find((append) => append.feed === feed && append.batch.resourceVersion !== '')
  return first === undefined ? Number.POSITIVE_INFINITY : Number(first.batch.resourceVersion)
}

/** True where a gap record says that this may not have been seen. */
export function isInGap(history: History, gaps: readonly Gap[], { version, rv }: Sight): boolean {
  return gaps.some((gap) => {
    if (version.at > gap.at) return false
    if (gap.reason !== 'rewound') return gap.from < rv && rv <= gap.to
    const restoredTo = history.restores.at(version.timeline - 1)?.to ?? Number.POSITIVE_INFINITY
    return version.timeline > 0 && rv > restoredTo && rv <= gap.to
  })
}

/** True where a version must be told: a Lease that was only renewed is none. */
export function isNews({ version, type }: Sight): boolean {
  if (version.collection === 'pods' || type !== 'MODIFIED') return true
  const { holderIdentity: now } = version.object.spec as { holderIdentity: string }
  const before = version.previous?.spec as { holderIdentity: string } | undefined
  return before?.holderIdentity !== now
}

/** What an event that a watch told of stands for: the object and its version. */
export function readVersion(event: RelayEvent): { uid: string; rv: number } {
  return { uid: String(event.data.uid), rv: Number(event.data.resourceVersion) }
}

export function isLive(event: RelayEvent): boolean {
  return event.synthetic === undefined && event.type !== gapType
}
