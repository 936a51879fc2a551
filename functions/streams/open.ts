import type { Caller } from '../auth/authenticator.ts'
import type { Selection } from '../selection.ts'
import type { Services } from '../services.ts'
import type { Start } from '../start.ts'
import { countFlow, type StreamKind } from './counts.ts'
import type { Format } from './frames.ts'
import { writePrelude } from './prelude.ts'
import { readSnapshot } from './snapshot.ts'
import { type Flow, openStream } from './subscription.ts'

/** What one reader of events wants. */
export interface Reading extends Selection {
  readonly caller: Caller
  readonly start: Start
  readonly format: Format
  readonly kind: StreamKind
}

/**
 * Opens a stream of events, from its start on and as long as its caller may see them.
 * @throws RelayError `unavailable` or `too_many` when there are too many.
 */
export function openReading(services: Services, reading: Reading): Flow {
  const { cluster, state, resources, now, sessions, hub } = services
  const { caller, filter, clauses, start, format, kind } = reading
  const snapshot = start.withState
    ? readSnapshot({ state, cluster, resources, filter, format, start: start.position, now })
    : undefined
  const flow = openStream(services, {
    filter,
    clauses,
    format,
    start,
    prelude: writePrelude(format, start, clauses, snapshot),
    guard: (end) => sessions.open(caller, filter, end),
    ...(snapshot === undefined ? {} : { seen: snapshot.seen }),
  })
  return countFlow(flow, hub.counts[kind])
}
