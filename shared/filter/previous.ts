import type { EventData, RelayEvent } from '../event.ts'

/** Where a change of this type keeps its `from` in the data. */
const fields: Readonly<Record<string, string>> = {
  phase: 'phase',
  status: 'status',
  ready: 'ready',
  labels: 'labels',
  released: 'holder',
  transferred: 'holder',
  expired: 'holder',
}

/** What a change of this type gave a value that it did not have before. */
const gained: Readonly<Record<string, string>> = { bound: 'node', acquired: 'holder' }

/** All that may be known of the object before. */
export const previousFields = [
  'namespace',
  'name',
  'uid',
  'phase',
  'status',
  'ready',
  'labels',
  'node',
  'holder',
] as const

/** The data without what the object was before, as far as its changes tell: nothing at all for a new object. */
export type PreviousData = Partial<EventData>

/**
 * Rebuilds what an event tells of the object before it. The log holds the object after each change, and of the one before it
 * what changes carry (`phase`, `status`, `ready`, `labels`, `node`, `holder`); other fields are left out, since what they
 * were is not known, but for those that cannot change.
 */
export function readPrevious(event: RelayEvent): PreviousData {
  if (event.type.endsWith('.added')) return {}
  const old: Record<string, unknown> = {}
  for (const field of previousFields) old[field] = event.data[field]
  for (const change of event.data.changes) {
    const field = fields[change.type]
    if (field !== undefined) old[field] = change.from
    else if (gained[change.type] !== undefined) old[gained[change.type] ?? ''] = undefined
  }
  for (const [field, value] of Object.entries(old)) if (value === undefined) delete old[field]
  return old
}
