import { blake3 } from '@noble/hashes/blake3.js'
import { invalid } from './errors.ts'
import { formatPosition, type Position, parsePosition } from './position.ts'

/** What makes the cursors of one log: positions with a seal that only the relay can make. */
export interface CursorSeal {
  /** Writes a position as the opaque string that users keep. Safe in a URL, a header and an SSE `id`. */
  toCursor(position: Position): string
}

/** What a log must know to tell its own cursors from others. */
interface Lives {
  readonly epoch: string
  readonly past: readonly { readonly epoch: string }[]
  readonly seal: CursorSeal
}

const noCursor = 'not a cursor; use one that the relay gave, or start, now or state'
const foreign = 'this cursor was not given by this relay; use one that was, just as it came, or start, now or state'
const shape = /^([0-9a-z]+-[0-9a-z]+)-[0-9a-z]{8}$/
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
/** Characters of a seal, of five bits each. */
const sealSize = 8
/** How many seals one hash holds: events in succession share it, so that a cursor costs a fraction of a hash. */
const sealsPerHash = 64
const encoder = new TextEncoder()

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
  const bytes = Uint8Array.from(key.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  let known = { epoch: '', block: -1, seals: '' }
  return {
    toCursor(position) {
      const { epoch, seq } = position
      const block = Math.floor(seq / sealsPerHash)
      if (block !== known.block || epoch !== known.epoch) {
        const hash = blake3(encoder.encode(`${epoch} ${block}`), {
          key: bytes,
          dkLen: (sealsPerHash * sealSize * 5) / 8,
        })
        known = { epoch, block, seals: toBase32(hash) }
      }
      const at = (seq - block * sealsPerHash) * sealSize
      return `${formatPosition(position)}-${known.seals.slice(at, at + sealSize)}`
    },
  }
}

/**
 * Reads a cursor back.
 *
 * A cursor from a life that the log does not know is believed: the key may have been lost together with that life, and
 * whoever comes from there is to hear that the log was begun anew, which it does whatever the number says.
 * @param field the name of the parameter to blame.
 * @throws RelayError `invalid` when it is no cursor, or none that this log gave.
 */
export function readCursor(text: string, { epoch, past, seal }: Lives, field = 'from'): Position {
  const position = openCursor(text, field)
  const isKnown = position.epoch === epoch || past.some((life) => life.epoch === position.epoch)
  if (isKnown && seal.toCursor(position) !== text) {
    throw invalid(field, foreign)
  }
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

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
