import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { createEpoch } from './epoch.ts'
import { appendScript, claimScript, releaseScript, renewEpochScript } from './scripts.ts'

/** What one batch does to the log, in order. */
export type Operation =
  /** Appends an event; `json` is the CloudEvent without `cursor`. */
  | { op: 'event'; json: string }
  /** Puts an object into the known set, or replaces it; `key` is `<namespace>/<name>`. */
  | { op: 'set'; key: string; record: string }
  /** Takes an object out of the known set. */
  | { op: 'delete'; key: string }
  /** Adds an ended Lease term; `key` is `<namespace>/<name>`, `keep` how many terms are kept for it. */
  | { op: 'term'; key: string; term: string; keep: number }

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
 * the log; otherwise nothing was written: `fenced` another writer took the feed, `epoch` or `conflict` Redis is not where we left it.
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
  /** Makes all older cursors invalid; for a Redis that lost entries. */
  renewEpoch(fence: string): Promise<void>
}

/** Creates the writer of one feed. `resource` is the known set that it keeps, `keepEntries` the log's retention. */
export function createLogWriter(deps: {
  redis: RedisClient
  keys: Keys
  feed: string
  resource: string
  keepEntries: number
}): LogWriter {
  const { redis, keys } = deps
  const feed = keys.feed(deps.feed)
  return {
    async claim(owner, leaseMs) {
      const answer = (await claimScript.run(redis, [keys.meta, feed], [owner, leaseMs, createEpoch()])) as string[]
      const [kind, ...rest] = answer
      if (kind === 'held') return { held: true, owner: rest[0] ?? '', msLeft: Number(rest[1]) }
      const fields = toRecord(rest.slice(4))
      return {
        held: false,
        fence: rest[0] ?? '',
        epoch: rest[1] ?? '',
        seq: Number(rest[2]),
        batch: Number(fields.batch ?? 0),
        resourceVersion: fields.rv ?? '',
        note: fields.note ?? '',
      }
    },
    async append(batch) {
      const lists: string[] = []
      const args: (string | number)[] = [batch.fence, batch.epoch, batch.batch, batch.resourceVersion, batch.note]
      args.push(deps.keepEntries, batch.seen)
      for (const operation of batch.operations) {
        switch (operation.op) {
          case 'event':
            args.push('E', operation.json)
            break
          case 'set':
            args.push('S', operation.key, operation.record)
            break
          case 'delete':
            args.push('D', operation.key)
            break
          case 'term':
            args.push('T', 5 + lists.push(keys.terms(operation.key)), operation.term, operation.keep)
        }
      }
      const touched = [keys.meta, keys.log, feed, keys.objects(deps.resource), keys.index(deps.resource), ...lists]
      const [outcome, from, to] = (await appendScript.run(redis, touched, args)) as [
        AppendAnswer['outcome'],
        ...string[],
      ]
      if (outcome === 'ok' || outcome === 'duplicate') return { outcome, from: Number(from), to: Number(to) }
      return { outcome }
    },
    async release(fence) {
      await releaseScript.run(redis, [feed], [fence])
    },
    async renewEpoch(fence) {
      await renewEpochScript.run(redis, [keys.meta, feed], [fence, createEpoch()])
    },
  }
}
