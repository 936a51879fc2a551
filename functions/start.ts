import { readCursor } from '../shared/cursor.ts'
import { invalid, RelayError } from '../shared/errors.ts'
import type { Bounds, LogReader } from '../shared/log/reader.ts'
import type { Position } from '../shared/position.ts'
import { findLoss, type Loss, type Place } from './streams/place.ts'

/** Where reading begins. */
export interface Start extends Place {
  /** Set when what was asked for is no longer kept; `position` is the oldest that is. */
  readonly lost?: Loss
  /** The current objects come first. */
  readonly withState?: true
}

/** RFC 3339, section 5.6. */
const time = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

/**
 * Finds where to begin.
 * @param from `now`, `start`, `state`, a cursor, or a time in RFC 3339.
 * @param lastEventId what a client that comes back sends; it wins over `from`.
 * @param clauses of the filter that is read with; absent where any place will do.
 * @throws RelayError `invalid`, naming the one at fault.
 */
export async function findStart(
  reader: LogReader,
  from: string,
  lastEventId?: string,
  clauses?: readonly string[],
): Promise<Start> {
  // An unescaped plus sign in a query arrives as a space.
  if (!lastEventId && /^\d{4}-\d\d-/.test(from)) return startAtTime(reader, from.replace(' ', '+'))
  const bounds = await reader.bounds()
  if (lastEventId) return startAt(reader, readCursor(lastEventId, bounds, 'Last-Event-ID', clauses), bounds)
  if (from === 'start') return begin(reader.oldest(bounds), bounds)
  if (from !== 'now' && from !== 'state') return startAt(reader, readCursor(from, bounds, 'from', clauses), bounds)
  const start = begin({ epoch: bounds.epoch, seq: bounds.last }, bounds)
  return from === 'now' ? start : { ...start, withState: true }
}

/**
 * Refuses a start whose history is gone, for answers that cannot tell it otherwise.
 * @throws RelayError `gone`, with the oldest cursor.
 */
export function requireKept({ position, seal, lost }: Start): Position {
  if (lost === undefined) return position
  throw new RelayError('gone', 'The events after this place are no longer kept; start from the oldest cursor.', {
    oldest: seal.toCursor(position),
  })
}

function begin(position: Position, { seal }: Bounds): Start {
  return { position, seal }
}

function startAt(reader: LogReader, position: Position, bounds: Bounds): Start {
  const lost = findLoss(position, bounds)
  return lost === undefined ? begin(position, bounds) : { ...begin(reader.oldest(bounds), bounds), lost }
}

async function startAtTime(reader: LogReader, text: string): Promise<Start> {
  const moment = time.test(text) && isDay(text.slice(0, 10)) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(moment)) throw invalid('from', `"${text}" is no time; write 2026-01-31T12:00:00Z`)
  const position = await reader.seek(moment)
  const bounds = await reader.bounds()
  // Everything that is kept came later: so may have what was trimmed before it.
  const isEarlier = bounds.first > 1 && position.seq <= bounds.first - 1
  return isEarlier ? { ...begin(reader.oldest(bounds), bounds), lost: 'trimmed' } : begin(position, bounds)
}

/** Dates that there are not, such as the 30th of February, are read as others. */
function isDay(text: string): boolean {
  const day = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(day.getTime()) && day.toISOString().startsWith(text)
}
