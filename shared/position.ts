import { RelayError } from './errors.ts'

/** A place in the log: after the entry with this sequence number, 0 for the very beginning. */
export interface Position {
  /** Which life of the log the number counts in: a Redis that lost entries starts a new one. */
  epoch: string
  seq: number
}

const shape = /^([0-9a-z]{1,16})-([0-9a-z]{1,11})$/

/** Writes a position as the opaque string that users keep. Safe in a URL, a header and an SSE `id`. */
export function formatPosition(position: Position): string {
  return `${position.epoch}-${position.seq.toString(36)}`
}

/**
 * Reads a cursor back.
 * @param field the name of the parameter to blame.
 * @throws RelayError `invalid` when the text is no cursor of ours.
 */
export function parsePosition(text: string, field = 'from'): Position {
  const match = shape.exec(text)
  const seq = match?.[2] === undefined ? Number.NaN : Number.parseInt(match[2], 36)
  if (match?.[1] === undefined || !Number.isSafeInteger(seq)) {
    throw new RelayError('invalid', `${field}: not a cursor; use one that the relay gave, or start, now or state`, {
      field,
    })
  }
  return { epoch: match[1], seq }
}
