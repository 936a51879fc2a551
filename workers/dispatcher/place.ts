import type { Bounds } from '../../shared/log/reader.ts'
import { type Position, parsePosition } from '../../shared/position.ts'

type Span = Pick<Bounds, 'epoch' | 'first' | 'last'>

/** Where to go on, and how many entries nobody will ever see because of it. */
export interface Place {
  position: Position
  lost: number
}

/**
 * Finds where a stored position is in the log as it is now.
 *
 * A log in a new epoch is one whose Redis went back in time, and the stored position went back with it, being in the same
 * Redis: its number still says which entries were handled, so that going on from it doubles nothing.
 */
export function placeIn(bounds: Span, stored: Position): Place {
  const { epoch, first, last } = bounds
  if (stored.seq >= first - 1 && stored.seq <= last) return { position: { epoch, seq: stored.seq }, lost: 0 }
  const lost = stored.seq < first - 1 ? first - 1 - stored.seq : 0
  return { position: { epoch, seq: first - 1 }, lost }
}

/** How a webhook comes to follow the log: it is `live`, at the dispatcher's own position, or catches up from an older one. */
export type Following = 'live' | Position

/**
 * Decides how a webhook follows the log when the dispatcher takes it up.
 * @param stored what was decided before, from the dispatcher's hash.
 */
export function followingOf(stored: string | undefined, start: Position, main: Position, bounds: Span): Following {
  if (stored === 'live') return 'live'
  const { position, lost } = placeIn(bounds, stored === undefined ? atMost(start, bounds) : parsePosition(stored))
  // What was lost is accounted for on the way.
  return position.seq >= main.seq && lost === 0 ? 'live' : position
}

/** A start that was given in a life of the log that ended may be ahead of what is left. */
function atMost(start: Position, bounds: Span): Position {
  return start.epoch === bounds.epoch ? start : { epoch: bounds.epoch, seq: Math.min(start.seq, bounds.last) }
}
