import type { Start } from '../start.ts'
import { encodeText, type Format } from './frames.ts'
import { toCursor } from './place.ts'
import type { Snapshot } from './snapshot.ts'
import { frameReset, type Prelude } from './subscription.ts'

/** Says where a stream of some clauses really begins, then, if asked for, how everything is now. */
export async function* writePrelude(
  format: Format,
  start: Start,
  clauses: readonly string[],
  snapshot: Snapshot | undefined,
): Prelude {
  // Spread out, so that the clients of a process that ended do not all come back in the same second.
  const retry = format.retry(1_000 + Math.random() * 3_000)
  const { lost } = start
  const cursor = toCursor(start, clauses)
  if (snapshot === undefined) {
    const begin = lost === undefined ? format.control('ready', { cursor }, cursor) : frameReset(format, cursor, lost)
    yield encodeText(retry + begin)
    return
  }
  // No place before the last object: a client that comes back sooner must get all of them again.
  yield encodeText(retry + format.control('ready', { cursor }))
  yield* snapshot.frames
  yield encodeText(format.control('live', { cursor }, cursor))
}
