import { digestUid, findManagedFields, parseEvent, parseEventInParts } from './frame.ts'
import { createRecent } from './recent.ts'

const specField = Buffer.from('"spec":{')
const statusField = Buffer.from(',"status":{')
const modified = Buffer.from('{"type":"MODIFIED"')

/** Objects heard of last, whose specs are kept: what changes now is what was just made, or is about to end. */
const specsKept = 2048

interface Spec {
  bytes: Buffer
  value: unknown
}

/**
 * Creates a parser of one stream's watch events; it gives what `parseEvent` gives, but that a spec may be shared by several.
 *
 * Most of what is told of an object is its status, while its spec, half of the frame, is the same as before. So the bytes of
 * the last spec are kept beside what they mean, and where they come again they are compared instead of parsed.
 */
export function createSpecReader(): (frame: Buffer) => unknown {
  const specs = createRecent<number, Spec>(specsKept)
  return (frame) => {
    const managed = findManagedFields(frame)
    const at = frame.indexOf(specField, managed?.to ?? 0)
    if (at === -1) return parseEvent(frame)
    const from = at + specField.length - 1
    const key = digestUid(frame)
    const known = specs.get(key)
    const isKnown = known?.bytes.equals(frame.subarray(from, from + known.bytes.length)) === true
    const spec = isKnown ? known : isModified(frame) ? readSpec(frame, from) : undefined
    if (spec === undefined) return parseEvent(frame)
    const to = from + spec.bytes.length
    const event = parseEventInParts(frame, managed, { from, to, value: spec.value })
    // A copy: the frame is a part of a chunk, which would be kept whole.
    if (event !== undefined && !isKnown) specs.set(key, { ...spec, bytes: Buffer.from(spec.bytes) })
    return event ?? parseEvent(frame)
  }
}

/** What is new is soon scheduled, and its spec another then: not worth keeping. */
function isModified(frame: Buffer): boolean {
  return frame.compare(modified, 0, modified.length, 0, modified.length) === 0
}

/** Reads a spec that is followed by a status. Undefined where what is in between is not one value. */
function readSpec(frame: Buffer, from: number): Spec | undefined {
  const to = frame.indexOf(statusField, from)
  if (to === -1) return undefined
  try {
    return { bytes: frame.subarray(from, to), value: JSON.parse(frame.toString('utf8', from, to)) }
  } catch {
    return undefined
  }
}
