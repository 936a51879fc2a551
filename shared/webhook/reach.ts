import type { Keys } from '../keys.ts'
import type { Bounds, LogReader } from '../log/reader.ts'
import { formatPosition, parsePosition } from '../position.ts'
import type { RedisClient } from '../redis.ts'
import { createWebhookKeys } from './keys.ts'
import type { Ledger } from './ledger.ts'
import { parseSnapshot, snapshotField } from './snapshot.ts'
import type { Webhook } from './webhook.ts'

/** How far a webhook has come in the log; all numbers are of entries. */
export interface Reach {
  bounds: Bounds
  /** Entries after this one are the webhook's. */
  start: number
  /** Up to this one the dispatcher has decided what to send. */
  reached: number
  /** From this one on it has had the filter that it has now, and been on or off as it is now. */
  changed: number
  /** Up to this one, ended deliveries may have been dropped for newer ones; 0: none was. */
  floor: number
  /** Of a webhook that starts with the state: how many objects were told, and the newest entry that they include. */
  told: number
  until: number
  /** The current objects are still being told. */
  isTelling: boolean
}

/** Reads it. */
export async function readReach(
  deps: { redis: RedisClient; keys: Keys; reader: LogReader; ledger: Pick<Ledger, 'floor'> },
  { id, start }: Pick<Webhook, 'id' | 'start'>,
): Promise<Reach> {
  const { dispatch } = createWebhookKeys(deps.keys)
  const fields = ['position', `at:${id}`, `changed:${id}`, snapshotField(id)]
  const [bounds, answer, floor] = await Promise.all([
    deps.reader.bounds(),
    deps.redis.call('HMGET', dispatch, ...fields),
    deps.ledger.floor(id),
  ])
  const [position, follows, changed, snapshot] = answer as (string | null)[]
  const [told = 0, until = 0] = (snapshot ?? '').split(' ').map(Number)
  const isTelling = !!follows && parseSnapshot(follows) !== undefined
  const at = isTelling ? start : follows === 'live' ? position : follows
  const began = parsePosition(start)
  return {
    bounds,
    // Also of an earlier life of the log: its numbers go on.
    start: Math.min(began.seq, bounds.last),
    reached: Math.min(bounds.last, at ? parsePosition(at).seq : 0),
    changed: Number(changed ?? 0),
    floor,
    told,
    until,
    isTelling,
  }
}

/** The ids that the delivery of an entry may have: it may have been accepted in this life of the log or in an earlier one. */
export function deliveryIds({ epoch, past }: Pick<Bounds, 'epoch' | 'past'>, seq: number): string[] {
  const lives = past.filter((life) => seq <= life.seq).map((life) => life.epoch)
  return [epoch, ...lives].map((life) => formatPosition({ epoch: life, seq }))
}
