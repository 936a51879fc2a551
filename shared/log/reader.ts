import { type CursorSeal, createCursorKey, createCursorSeal } from '../cursor.ts'
import { RelayError } from '../errors.ts'
import type { Keys } from '../keys.ts'
import type { Position } from '../position.ts'
import type { RedisClient } from '../redis.ts'
import { createEpoch } from './epoch.ts'
import { seekScript } from './read-scripts.ts'

/** One entry of the log: an event's JSON without `cursor`, and its place. */
export interface LogEntry {
  seq: number
  json: string
}

/** Which entries exist. */
export interface Bounds {
  epoch: string
  /** The oldest kept entry; `last + 1` while there is none. */
  first: number
  /** The newest entry, 0 while there is none. */
  last: number
  /** Earlier epochs, each with the last entry that it shares with this one. */
  past: readonly Position[]
  /** What its cursors are made with; the same in all its lives. */
  seal: CursorSeal
}

/** What following the log yields: the next entries, in order and without a gap, or that the place is no longer there. */
export type LogStep =
  /** Their epoch may be another than that of the entries before: the log moved, and lost nothing that was seen. */
  | { type: 'entries'; epoch: string; entries: LogEntry[]; seal: CursorSeal }
  /** Nothing new for a while; everything up to `position` was seen. */
  | { type: 'idle'; position: Position }
  /** The reader was overtaken by retention, or saw what the log has lost; reading goes on from `oldest`. */
  | { type: 'reset'; oldest: Position }

/** Reads the log of one cluster. */
export interface LogReader {
  bounds(): Promise<Bounds>
  /** The oldest position that can be read from. */
  oldest(bounds: Bounds): Position
  /**
   * Checks a position against what is kept.
   * @throws RelayError `gone` with the oldest cursor when entries after it are no longer there.
   */
  check(position: Position): Promise<Bounds>
  /** Up to `limit` entries after a position that was checked. Entries that were trimmed meanwhile are missing from the front. */
  read(after: number, limit: number): Promise<LogEntry[]>
  /** The position before the first event that was read at or after this moment (ms since 1970). */
  seek(time: number): Promise<Position>
  /** Writes a position as a cursor, mostly without asking Redis. */
  toCursor(position: Position): Promise<string>
}

const boundsFields = ['epoch', 'key', 'seq', 'first', 'past'] as const

/** Creates a reader; `redis` is not blocked by any of its commands. */
export function createLogReader(redis: RedisClient, keys: Keys): LogReader {
  const readBounds = createBoundsReader(redis, keys)
  let known: Bounds | undefined
  return {
    async bounds() {
      known = await readBounds()
      return known
    },
    oldest: oldestOf,
    async check(position) {
      const bounds = await this.bounds()
      if (resolvePosition(position, bounds) === undefined) {
        throw new RelayError('gone', 'The events after this cursor are no longer kept; start from the oldest cursor.', {
          oldest: bounds.seal.toCursor(oldestOf(bounds)),
        })
      }
      return bounds
    },
    async read(after, limit) {
      return toEntries(await redis.call('XRANGE', keys.log, `(${after}-0`, '+', 'COUNT', limit))
    },
    async seek(time) {
      const moment = new Date(time).toISOString()
      const { epoch } = await this.bounds()
      const seq = await seekScript.run(redis, [keys.meta, keys.log], [moment])
      return { epoch, seq: Number(seq) }
    },
    async toCursor(position) {
      // The key is lost only together with the epoch.
      const { seal } = known !== undefined && isLife(position.epoch, known) ? known : await this.bounds()
      return seal.toCursor(position)
    },
  }
}

/**
 * Follows the log from a position for ever: what is kept first, then what comes, without a gap between the two.
 * @param redis a connection of its own: it spends its time in blocking reads.
 * @param options.block how long one read waits for news, in ms; also how soon a new epoch is noticed.
 * @throws whatever the connection rejects with; the caller follows again from the last position it handled.
 */
export async function* followLog(
  redis: RedisClient,
  keys: Keys,
  from: Position,
  options: { signal: AbortSignal; block?: number; limit?: number },
): AsyncGenerator<LogStep> {
  const { signal, block = 1000, limit = 500 } = options
  const readBounds = createBoundsReader(redis, keys)
  let position = from
  while (!signal.aborted) {
    // One round trip: the reads are pipelined. Bounds come second, so that they are never older than the entries.
    const [answer, bounds] = await Promise.all([
      redis.call('XREAD', 'COUNT', limit, 'BLOCK', block, 'STREAMS', keys.log, `${position.seq}-0`),
      readBounds(),
    ])
    if (signal.aborted) return
    const read = toEntries(entriesOf(answer))
    const entries = isOfOneServer(position, read, bounds) ? read : []
    const first = entries[0]
    // What was trimmed after the read has been read all the same.
    const kept = first === undefined ? bounds : { ...bounds, first: first.seq }
    const place = resolvePosition(position, kept)
    if (place === undefined) {
      position = oldestOf(bounds)
      yield { type: 'reset', oldest: position }
    } else if (first === undefined) {
      position = place
      yield { type: 'idle', position }
    } else {
      position = { epoch: bounds.epoch, seq: first.seq + entries.length - 1 }
      yield { type: 'entries', epoch: bounds.epoch, entries, seal: bounds.seal }
    }
  }
}

/**
 * True where entries surely are of the life of the log that the bounds tell of. A client that loses its connection between
 * the two answers sends the second command again, to whichever server is the master then: the entries may be ones that it
 * never had. Entries that are in doubt are dropped, and read again from there.
 */
function isOfOneServer(position: Position, entries: readonly LogEntry[], { epoch, last }: Bounds): boolean {
  return position.epoch === epoch && (entries.at(-1)?.seq ?? 0) <= last
}

/**
 * Finds a position in the log as it is now: the same number, in the present epoch, if the log still holds all that was
 * read up to there, and all that follows. Undefined: entries were trimmed, or lost, and the reader has to be told.
 */
export function resolvePosition({ epoch, seq }: Position, bounds: Bounds): Position | undefined {
  const last = epoch === bounds.epoch ? bounds.last : bounds.past.find((past) => past.epoch === epoch)?.seq
  return last === undefined || seq > last || seq < bounds.first - 1 ? undefined : { epoch: bounds.epoch, seq }
}

function isLife(epoch: string, bounds: Bounds): boolean {
  return epoch === bounds.epoch || bounds.past.some((past) => past.epoch === epoch)
}

function oldestOf(bounds: Bounds): Position {
  return { epoch: bounds.epoch, seq: bounds.first - 1 }
}

function createBoundsReader(redis: RedisClient, keys: Keys): () => Promise<Bounds> {
  let seal: CursorSeal | undefined
  let sealedWith: string | undefined
  const read = async () => (await redis.call('HMGET', keys.meta, ...boundsFields)) as (string | null)[]
  return async () => {
    let [epoch, key, last, first, past] = await read()
    if (!epoch || !key) {
      // A log that nobody wrote to yet, or read from: whoever needs a cursor into it first names its life and makes its key.
      if (!epoch) await redis.call('HSETNX', keys.meta, 'epoch', createEpoch())
      if (!key) await redis.call('HSETNX', keys.meta, 'key', createCursorKey())
      ;[epoch, key, last, first, past] = await read()
    }
    if (seal === undefined || key !== sealedWith) seal = createCursorSeal(key ?? '')
    sealedWith = key ?? ''
    return {
      epoch: epoch ?? '',
      first: Number(first ?? 1),
      last: Number(last ?? 0),
      past: [...(past ?? '').matchAll(/(\S+) (\S+)/g)].map(([, name = '', seq]) => ({ epoch: name, seq: Number(seq) })),
      seal,
    }
  }
}

/** The entries of the one stream in an XREAD answer, which is a list or, in RESP3, a map. */
function entriesOf(answer: unknown): unknown {
  if (answer === null) return []
  if (Array.isArray(answer)) return Array.isArray(answer[0]) ? answer[0][1] : answer[1]
  return Object.values(answer as object)[0]
}

function toEntries(answer: unknown): LogEntry[] {
  return (answer as [string, string[]][]).map(([id, fields]) => ({
    seq: Number.parseInt(id, 10),
    json: fields[1] ?? '',
  }))
}
