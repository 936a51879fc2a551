import type { CursorSeal } from '../../shared/cursor.ts'
import { type Bounds, resolvePosition } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'

/** A place in the log, and what makes the cursor by which users know it. */
export interface Place {
  readonly position: Position
  readonly seal: CursorSeal
}

/** What a reader with these clauses comes back to a place by. */
export function toCursor({ position, seal }: Place, clauses: readonly string[]): string {
  return seal.toCursor(position, seal.bond(clauses))
}

/** Why a position cannot be read from: retention took what follows it, or it belongs to another life of the log. */
export type Loss = 'trimmed' | 'replaced'

/** Says why a position cannot be read from; undefined when it can. */
export function findLoss(position: Position, bounds: Bounds): Loss | undefined {
  if (resolvePosition(position, bounds) !== undefined) return undefined
  return resolvePosition(position, { ...bounds, first: 1 }) === undefined ? 'replaced' : 'trimmed'
}
