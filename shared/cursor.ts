import { blake3 } from '@noble/hashes/blake3.js'
import { invalid } from './errors.ts'
import { formatPosition, type Position, parsePosition } from './position.ts'

/** What makes the cursors of one log: positions with a seal that only the relay can make. */
export interface CursorSeal {
  /** Writes a position as the opaque string that users keep. Safe in a URL, a header and an SSE `id`. */
  toCursor(position: Position, bond?: Bond): string
  /**
   * What binds the cursors of a stream to its filter, outside of which it shows nothing.
   * @param clauses as `listClauses` gives them; none for a filter that keeps nothing back. The answer is kept with the list.
   */
  bond(clauses: readonly string[]): Bond | undefined
  bondOfMark(mark: string): Bond
  /** Whether a filter picks only what the one that left the mark picked as well, as far as their clauses show. */
  covers(mark: string, clauses: readonly string[]): boolean
}

/** Binds cursors to a filter: mixes into the seal which it is, and appends its mark. */
export interface Bond {
  bind(cursor: string): string
  /** Does so in UTF-8: the seal begins at `at`, and there is room for a mark after it. */
  write(bytes: Uint8Array, at: number): void
}

/** What a log must know to tell its own cursors from others. */
interface Lives {
  readonly epoch: string
  readonly past: readonly { readonly epoch: string }[]
  readonly seal: CursorSeal
}

const noCursor = 'not a cursor; use one that the relay gave, or begin at a time, start, now or state'
const foreign =
  'this cursor was not given by this relay; use one that was, just as it came, or begin at a time, start, now or state'
const otherFilter =
  'this cursor was given under another filter, which may have kept back what this one picks; go on with that filter, ' +
  'which may have more clauses now, or begin at a time, start, now or state'
const shape = /^([0-9a-z]+-[0-9a-z]+)-[0-9a-z]{8}([0-9a-z]{6})?$/
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
/** Characters of a seal and of a mark, of five bits each. */
export const sealSize = 8
const markSize = 6
/** How many seals one hash holds: events in succession share it, so that a cursor costs a fraction of a hash. */
const sealsPerHash = 64
const encoder = new TextEncoder()

/** What stands in a frame where a mark is to be written. */
export const roomForMark = '0'.repeat(markSize)

/** Makes up the key of a log, as text. */
export function createCursorKey(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(32)))
}

/**
 * Creates the seal of a log: a keyed hash of the epoch and of the place in it, cut to 40 bits. One guess in a million
 * million is right, and a right one shows its maker nothing that the same caller could not read anyway.
 * @param key as `createCursorKey` makes it.
 */
export function createCursorSeal(key: string): CursorSeal {
  const keyBytes = Uint8Array.from(key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  const hash = (text: string, size: number) =>
    toBase32(blake3(encoder.encode(text), { key: keyBytes, dkLen: Math.ceil((size * 5) / 8) })).slice(0, size)
  const hashClause = (clause: string) => toNumber(hash(`clause ${clause}`, markSize))
  const bonds = new WeakMap<readonly string[], Bond>()
  let known = { epoch: '', block: -1, seals: '' }

  return {
    toCursor(position, bond) {
      const { epoch, seq } = position
      const block = Math.floor(seq / sealsPerHash)
      if (block !== known.block || epoch !== known.epoch) {
        known = { epoch, block, seals: hash(`${epoch} ${block}`, sealsPerHash * sealSize) }
      }
      const at = (seq - block * sealsPerHash) * sealSize
      const cursor = `${formatPosition(position)}-${known.seals.slice(at, at + sealSize)}`
      return bond?.bind(cursor) ?? cursor
    },
    bond(clauses) {
      if (clauses.length === 0) return undefined
      let bond = bonds.get(clauses)
      if (bond === undefined) {
        // A sum, so that it can be told later whether another filter has the same clauses and more.
        bond = this.bondOfMark(toText(clauses.reduce((sum, clause) => sum ^ hashClause(clause), 0)))
        bonds.set(clauses, bond)
      }
      return bond
    },
    bondOfMark: (mark) => createBond(hash(`mark ${mark}`, sealSize), mark),
    covers: (mark, clauses) => isSumOfSome(toNumber(mark), clauses.map(hashClause)),
  }
}

/** @param mask of as many characters as a seal. */
function createBond(mask: string, mark: string): Bond {
  const bits = Uint8Array.from(mask, (character) => alphabet.indexOf(character))
  const tail = encoder.encode(mark)
  return {
    bind(cursor) {
      const bytes = encoder.encode(cursor + roomForMark)
      this.write(bytes, cursor.length - sealSize)
      return String.fromCharCode(...bytes)
    },
    write(bytes, at) {
      for (let i = 0; i < sealSize; i++) {
        bytes[at + i] = codes[(values[bytes[at + i] ?? 0] ?? 0) ^ (bits[i] ?? 0)] ?? 0
      }
      bytes.set(tail, at + sealSize)
    },
  }
}

const codes = encoder.encode(alphabet)
/** The five bits of a character, by its code. */
const values = Uint8Array.from({ length: 128 }, (_, code) => Math.max(0, codes.indexOf(code)))

/** Whether a number is the exclusive or of some of the others: they are brought into a form where each has a highest bit of its own. */
function isSumOfSome(sum: number, parts: readonly number[]): boolean {
  const rows: number[] = []
  const reduce = (value: number) => rows.reduce((rest, row) => Math.min(rest, rest ^ row), value)
  for (const part of parts) {
    const rest = reduce(part)
    if (rest !== 0) rows.push(rest)
  }
  return reduce(sum) === 0
}

/**
 * Reads a cursor back.
 *
 * A cursor from a life that the log does not know is believed: the key may have been lost together with that life, and
 * whoever comes from there is to hear that the log was begun anew, which it does whatever the number says.
 * @param field the name of the parameter to blame.
 * @param clauses of the filter with which a stream is to go on from here; absent where the cursor only names a place.
 * @throws RelayError `invalid` when it is no cursor, or none that this log gave, or was given under a filter that may have kept
 *   back what these clauses pick.
 */
export function readCursor(
  text: string,
  { epoch, past, seal }: Lives,
  field = 'from',
  clauses?: readonly string[],
): Position {
  const position = openCursor(text, field)
  const isKnown = position.epoch === epoch || past.some((life) => life.epoch === position.epoch)
  if (!isKnown) return position
  const mark = shape.exec(text)?.[2]
  const bond = mark === undefined ? undefined : seal.bondOfMark(mark)
  if (seal.toCursor(position, bond) !== text) throw invalid(field, foreign)
  if (mark !== undefined && clauses !== undefined && !seal.covers(mark, clauses)) throw invalid(field, otherFilter)
  return position
}

/**
 * Reads the position out of a cursor without asking who made it.
 * @throws RelayError `invalid` when it is no cursor.
 */
export function openCursor(text: string, field?: string): Position {
  return parsePosition(shape.exec(text)?.[1] ?? '', field, noCursor)
}

function toBase32(bytes: Uint8Array): string {
  const characters: number[] = []
  let [rest, bits] = [0, 0]
  for (const byte of bytes) {
    rest = (rest << 8) | byte
    for (bits += 8; bits >= 5; bits -= 5) characters.push(alphabet.charCodeAt((rest >> (bits - 5)) & 31))
    rest &= 31
  }
  return String.fromCharCode(...characters)
}

/** The number that up to six characters stand for. */
function toNumber(text: string): number {
  return Array.from(text).reduce((sum, character) => sum * 32 + alphabet.indexOf(character), 0)
}

/** The characters of a mark. */
function toText(mark: number): string {
  return Array.from(roomForMark, (_, i) => alphabet[(mark >> (5 * (markSize - 1 - i))) & 31]).join('')
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
