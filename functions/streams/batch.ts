import { joinBytes } from '../../shared/bytes.ts'
import { type CursorSeal, roomForMark, sealSize } from '../../shared/cursor.ts'
import type { RelayEvent } from '../../shared/event.ts'
import type { Scope } from '../../shared/filter/filter.ts'
import type { LogEntry } from '../../shared/log/reader.ts'
import { encodeText, type Format } from './frames.ts'
import type { View, Views } from './view.ts'

/** Some successive entries of the log, each parsed at most once and written at most once per format, for all readers. */
export interface Batch {
  readonly epoch: string
  /** The first and last sequence number. */
  readonly from: number
  readonly to: number
  readonly seal: CursorSeal
  /** How many bytes of JSON it holds, about. */
  readonly size: number
  readonly events: readonly BatchEvent[]
  /** Everything that a view sees of the batch, one buffer for all who share the view. */
  select(view: View): Uint8Array
  /** The same for one reader alone: what comes after a place and was not seen before. */
  selectFrom(view: View, after: number, isSeen?: (event: BatchEvent) => boolean): Uint8Array
  /** Gives what was kept for several readers back: those who still come are few, and what they get is kept no more. */
  forget(): void
}

/** An entry with its event. */
export interface BatchEvent {
  readonly seq: number
  /** Sealed on first use, bound to nothing. */
  readonly cursor: string
  readonly json: string
  /** Parsed on first use. Throws a SyntaxError on an entry that no relay wrote. */
  readonly event: RelayEvent
  /** Made once for all who see it so. */
  readonly as: Readonly<Record<Scope, Sight>>
}

/** An event as a filter sees it. */
export interface Sight {
  readonly item: BatchEvent
  readonly scope: Scope
}

/** Frames with room behind their cursors, and where the seals of these begin. */
interface Loose {
  readonly bytes: Uint8Array
  readonly seals: readonly number[]
}

/**
 * Wraps entries that follow one another without a gap; there is at least one.
 * @param views those who will ask for most of it: asked once for all of them, which costs less than each by itself.
 */
export function createBatch(
  epoch: string,
  entries: readonly LogEntry[],
  seal: CursorSeal,
  views?: Pick<Views, 'route'>,
): Batch {
  const events = entries.map((entry) => createEvent(epoch, entry, seal))
  const buffers = new Map<View, Uint8Array>()
  const wholes = new Map<Format, Uint8Array>()
  const looses = new Map<Format, Loose>()
  const frames = new Map<Format, Record<Scope, (Uint8Array | undefined)[]>>()

  let isWarm = true

  const frame = (format: Format, item: BatchEvent, scope: Scope): Uint8Array => {
    const index = item.seq - (events[0]?.seq ?? 0)
    const known = frames.get(format)?.[scope][index]
    if (known !== undefined) return known
    const bytes = encodeText(format.frame(item.json, item.cursor, scopeMark(scope)))
    if (!isWarm) return bytes
    const written = frames.get(format) ?? { in: [], entered: [], left: [] }
    frames.set(format, written)
    written[scope][index] = bytes
    return bytes
  }
  const whole = (format: Format): Uint8Array => {
    let bytes = wholes.get(format)
    if (bytes === undefined) {
      bytes = encodeText(events.map((item) => format.frame(item.json, item.cursor)).join(''))
      wholes.set(format, bytes)
    }
    return bytes
  }
  /** Everything in a format that leaves room to bind it. */
  const loose = (format: Format): Loose => {
    let found = looses.get(format)
    if (found === undefined) {
      found = pack(
        format,
        events.map((item) => item.as.in),
      )
      looses.set(format, found)
    }
    return found
  }
  const pack = (format: Format, chosen: readonly Sight[]): Loose => {
    const seals: number[] = []
    let size = 0
    const pieces = chosen.map(({ item, scope }) => {
      const piece = frame(format, item, scope)
      let at = size
      for (const before of format.beforeCursors) {
        at += before + item.cursor.length
        seals.push(at - sealSize)
        at += roomForMark.length
      }
      size += piece.length
      return piece
    })
    return { bytes: joinBytes(pieces), seals }
  }
  let known: ReturnType<Views['route']> | undefined
  const see = (view: View): Sight[] => {
    if (views !== undefined && isWarm) {
      known ??= views.route(events)
      // Views that came later were not asked.
      if (view.born <= known.born) return known.routed.get(view) ?? []
    }
    const seen: Sight[] = []
    for (const item of events) {
      const scope = view.match?.(item.event)
      if (scope !== undefined) seen.push(item.as[scope])
    }
    return seen
  }
  const write = ({ format, clauses }: View, chosen: readonly Sight[]): Uint8Array => {
    const isWhole = chosen.length === events.length && chosen.every(({ scope }) => scope === 'in')
    const bond = seal.bond(clauses)
    if (bond === undefined) {
      return isWhole ? whole(format) : joinBytes(chosen.map(({ item, scope }) => frame(format, item, scope)))
    }
    const { bytes, seals } = isWhole ? loose(format) : pack(format, chosen)
    const bound = new Uint8Array(bytes.length)
    bound.set(bytes)
    for (const at of seals) bond.write(bound, at)
    return bound
  }

  return {
    epoch,
    from: entries[0]?.seq ?? 0,
    to: entries.at(-1)?.seq ?? 0,
    seal,
    size: entries.reduce((size, entry) => size + entry.json.length, 0),
    events,
    select(view) {
      let bytes = buffers.get(view)
      if (bytes === undefined) {
        bytes = view.match === undefined ? whole(view.format) : write(view, see(view))
        // Who is alone with a filter asks once: a thousand of those would keep a copy of the log each.
        if (isWarm && view.readers > 1) buffers.set(view, bytes)
      }
      return bytes
    },
    selectFrom(view, after, isSeen = () => false) {
      const chosen: Sight[] = []
      for (const item of events) {
        if (item.seq <= after || isSeen(item)) continue
        const scope = view.match === undefined ? 'in' : view.match(item.event)
        if (scope !== undefined) chosen.push(item.as[scope])
      }
      return write(view, chosen)
    },
    forget() {
      isWarm = false
      buffers.clear()
      wholes.clear()
      looses.clear()
      known = undefined
      frames.clear()
    },
  }
}

function scopeMark(scope: Scope): 'entered' | 'left' | undefined {
  return scope === 'in' ? undefined : scope
}

function createEvent(epoch: string, { seq, json }: LogEntry, seal: CursorSeal): BatchEvent {
  let event: RelayEvent | undefined
  let cursor: string | undefined
  let as: BatchEvent['as'] | undefined
  const item: BatchEvent = {
    seq,
    json,
    get as() {
      as ??= { in: { item, scope: 'in' }, entered: { item, scope: 'entered' }, left: { item, scope: 'left' } }
      return as
    },
    get cursor() {
      cursor ??= seal.toCursor({ epoch, seq })
      return cursor
    },
    get event() {
      event ??= JSON.parse(json) as RelayEvent
      return event
    },
  }
  return item
}
