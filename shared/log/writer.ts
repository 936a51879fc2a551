import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { createEpoch } from './epoch.ts'
import { appendScript, claimScript, releaseScript, renewEpochScript } from './scripts.ts'
import type { Seen } from './seen.ts'

/** Appends an event; `json` is the CloudEvent without `cursor`. */
export interface EventOperation {
  op: 'event'
  json: string
}

/** What one batch does to the log, in order. */
export type Operation =
  | EventOperation
  /**
   * Puts an object into the known set, or replaces it; `key` is `<namespace>/<name>`. Where the `data` of an event before it
   * begins with the record's members, `within` says so, with the record's length in bytes: it then travels only once.
   */
  | { op: 'set'; key: string; record: string; within?: { event: EventOperation; bytes: number } }
  /** Takes an object out of the known set. */
  | { op: 'delete'; key: string }
  /** A term of a Lease begins; `key` is `<namespace>/<name>`. */
  | { op: 'hold'; key: string; holder: string }
  /** It ended: goes to the terms of the Lease and of the holder. */
  | { op: 'term'; key: string; holder: string; term: string; keep: TermRetention }

/** How many ended terms are kept for each Lease and for each holder, and for how long after their end (`to`). */
export interface TermRetention {
  count: number
  ms: number
}

/** What a writer knows of a feed after claiming it. */
export interface Claim {
  fence: string
  epoch: string
  /** The newest entry of the log. */
  seq: number
  /** The number of the last batch that was appended. */
  batch: number
  /** The resourceVersion to resume the watch from; empty when the feed was never in sync. */
  resourceVersion: string
  /** Whatever the writer stored with its last batch. */
  note: string
}

export type ClaimAnswer = ({ held: false } & Claim) | { held: true; owner: string; msLeft: number }

/**
 * `ok` and `duplicate` (this very batch was appended before: a command resent after a reconnect) both mean that it is in
 * the log; otherwise nothing was written. `fenced`: another writer took the feed. `epoch`: the log lives on another server,
 * or in another life; the feed goes on from what a new claim finds stored. `conflict`: Redis is not where we left it and
 * nothing tells why, so that no older cursor can be trusted; the epoch must be renewed.
 */
export type AppendAnswer =
  | { outcome: 'ok' | 'duplicate'; from: number; to: number }
  | { outcome: 'fenced' | 'epoch' | 'conflict' }

export interface Batch {
  fence: string
  epoch: string
  /** One more than the last batch's number. */
  batch: number
  /** The newest entry that this writer ever saw: a log that ends before it has lost entries. */
  seen: number
  /** The feed's cursor after this batch. */
  resourceVersion: string
  note: string
  operations: readonly Operation[]
}

/** Writes one feed into the log. Every method is one atomic script. */
export interface LogWriter {
  /** Takes or renews the writer's lease; a new owner, or one whose lease ran out, gets a new fence. */
  claim(owner: string, leaseMs: number): Promise<ClaimAnswer>
  append(batch: Batch): Promise<AppendAnswer>
  release(fence: string): Promise<void>
  /** Makes all older cursors invalid, unless another feed did so since this one met a `conflict`. */
  renewEpoch(fence: string): Promise<void>
}

export interface LogWriterDeps {
  redis: RedisClient
  keys: Keys
  feed: string
  /** The known set that the feed keeps, and the part of it that is its own; undefined: all. */
  resource: string
  namespace?: string | undefined
  /** Retention. The newest entry is always kept, and each append removes no more than a bounded number of old ones. */
  keepEntries: number
  /** Of events' JSON. */
  keepBytes?: number | undefined
  /** By the `time` of events, in ms. */
  keepMs?: number | undefined
  /** What this process saw; the same for all of its feeds. */
  seen?: Seen | undefined
  /** ms since 1970. */
  now?: (() => number) | undefined
}

/**
 * Creates the writer of one feed.
 *
 * A Redis may go back in time: a replica that missed writes is promoted, an older append-only file is put back. Entries
 * that readers saw are gone then, and their numbers must not mean something else under the same epoch. So the log remembers
 * the server that it was written on, by its replication id, and every append checks it in the script, whoever sends it and
 * by whatever connection: on another server nothing is appended before a claim has begun a new epoch there. That epoch
 * remembers the last entry that it shares with the one before, so that a reader who saw nothing that was lost goes on
 * unharmed, and one who did is told. A restart that lost nothing therefore costs the readers nothing.
 *
 * Where a proxy hides the replication id, a log that ends before what this process saw still is a `conflict`.
 */
export function createLogWriter(deps: LogWriterDeps): LogWriter {
  const { redis, keys, resource, keepEntries, keepBytes, keepMs, seen, now = Date.now } = deps
  const feed = keys.feed(deps.feed)
  /** The epoch that a renewal is to end: where entries were found missing, else the one that was claimed in. */
  let ending = ''
  let claimed = ''
  return {
    async claim(owner, leaseMs) {
      const touched = [keys.meta, feed, keys.feeds]
      const args = [owner, leaseMs, createEpoch(), deps.feed, resource, deps.namespace ?? '']
      const [kind, ...rest] = (await claimScript.run(redis, touched, args)) as string[]
      if (kind === 'held') return { held: true, owner: rest[0] ?? '', msLeft: Number(rest[1]) }
      const fields = toRecord(rest.slice(4))
      const epoch = rest[1] ?? ''
      seen?.raise(epoch, Number(rest[2]))
      claimed = epoch
      return {
        held: false,
        fence: rest[0] ?? '',
        epoch,
        seq: Number(rest[2]),
        batch: Number(fields.batch ?? 0),
        resourceVersion: fields.rv ?? '',
        note: fields.note ?? '',
      }
    },
    async append(batch) {
      const lists: string[] = []
      const args: (string | number)[] = [batch.fence, batch.epoch, batch.batch, batch.resourceVersion, batch.note]
      args.push(Math.max(batch.seen, seen?.in(batch.epoch) ?? 0), keepEntries)
      args.push(
        keepBytes ?? Number.MAX_SAFE_INTEGER,
        keepMs === undefined ? '' : new Date(now() - keepMs).toISOString(),
      )
      const places = new Map<EventOperation, number>()
      for (const operation of batch.operations) {
        switch (operation.op) {
          case 'event':
            args.push('E', operation.json)
            places.set(operation, args.length)
            break
          case 'set': {
            const { key, record, within } = operation
            const place = within && places.get(within.event)
            if (within === undefined || place === undefined) args.push('S', key, record)
            else args.push('P', key, place, within.bytes)
            break
          }
          case 'delete':
            args.push('D', operation.key)
            break
          case 'hold':
            args.push('H', `${operation.holder}\n${operation.key}`)
            break
          case 'term': {
            const { key, holder, term, keep } = operation
            const first = 6 + lists.push(keys.terms(key), keys.heldTerms(holder)) - 1
            args.push(
              'T',
              first,
              term,
              keep.count,
              keep.ms,
              new Date(now() - keep.ms).toISOString(),
              `${holder}\n${key}`,
            )
          }
        }
      }
      const touched = [keys.meta, keys.log, feed, keys.objects(resource), keys.index(resource), keys.holds, ...lists]
      const [outcome, from, to] = (await appendScript.run(redis, touched, args)) as [
        AppendAnswer['outcome'],
        ...string[],
      ]
      if (outcome === 'conflict') ending = batch.epoch
      if (outcome !== 'ok' && outcome !== 'duplicate') return { outcome }
      seen?.raise(batch.epoch, Number(to))
      return { outcome, from: Number(from), to: Number(to) }
    },
    async release(fence) {
      await releaseScript.run(redis, [feed], [fence])
    },
    async renewEpoch(fence) {
      await renewEpochScript.run(redis, [keys.meta, feed], [fence, ending || claimed, createEpoch()])
      ending = ''
    },
  }
}
