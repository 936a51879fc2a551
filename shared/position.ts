import { invalid } from './errors.ts'

/** A place in the log: after the entry with this sequence number, 0 for the very beginning. */
export interface Position {
  /** Which life of the log the number counts in: a Redis that lost entries starts a new one. */
  epoch: string
  seq: number
}

const notPosition = 'no place in the log; use one that the relay gave'
const shape = /^([0-9a-z]{1,16})-([0-9a-z]{1,11})$/

/** Writes a position as text for the relay's own records. What users hold is a cursor, which is sealed as well. */
export function formatPosition(position: Position): string {
  return `${position.epoch}-${position.seq.toString(36)}`
}

/**
 * Reads a position back.
 * @param field the name of the parameter to blame.
 * @param problem what to say when the text is none.
 * @throws RelayError `invalid` then.
 */
export function parsePosition(text: string, field = 'from', problem = notPosition): Position {
  const match = shape.exec(text)
  const seq = match?.[2] === undefined ? Number.NaN : Number.parseInt(match[2], 36)
  if (match?.[1] === undefined || !Number.isSafeInteger(seq)) {
    throw invalid(field, problem)
  }
  return { epoch: match[1], seq }
}
