import { formatPosition } from '../position.ts'

/**
 * How far a webhook that starts with the state has been told the current objects. They are numbered in the order in which they
 * are told, that of their keys.
 */
export interface SnapshotProgress {
  /** How many were told. */
  told: number
  /** The newest log entry that one of them includes. */
  until: number
  /** Names the filter by which they are told. */
  filter: string
  /** The last one: the name of its resource, and its key; both empty before the first. */
  resource: string
  key: string
}

/** The first half of the ids of their deliveries. Shorter than an epoch of the log, so that the two are never the same. */
export const snapshotEpoch = 's0'

/** The id of the delivery that tells the nth object. */
export function toSnapshotId(n: number): string {
  return formatPosition({ epoch: snapshotEpoch, seq: n })
}

const shape = /^state (\d+) (\d+) (\S+) (\S*) (.*)$/

/** Writes it as the dispatcher keeps it, in place of the cursor of a webhook that follows the log. */
export function formatSnapshot({ told, until, filter, resource, key }: SnapshotProgress): string {
  return `state ${told} ${until} ${filter} ${resource} ${key}`
}

/** Undefined: this is a place in the log, and all was told. */
export function parseSnapshot(text: string): SnapshotProgress | undefined {
  const match = shape.exec(text)
  if (match === null) return undefined
  const [, told, until, filter = '', resource = '', key = ''] = match
  return { told: Number(told), until: Number(until), filter, resource, key }
}

/** The field of the dispatcher's hash that holds the result: how many were told, and the newest entry that they include. */
export function snapshotField(webhook: string): string {
  return `told:${webhook}`
}
