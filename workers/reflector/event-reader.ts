import type { KubeObject } from '../kube/object.ts'
import { digestUid, findManagedFields, type Part, parseEvent, toBuffer } from './frame.ts'
import { createRecent } from './recent.ts'
import { createSpecReader } from './spec-reader.ts'

const versionField = Buffer.from('"resourceVersion":"')
const renewField = Buffer.from('"renewTime":"')
const timeField = Buffer.from('"time":"')
const quote = 0x22
const backslash = 0x5c

/** Frames of Leases are shorter. */
const longest = 1500
/** A Lease for each node of the largest clusters known. */
const leasesKept = 130_000

/** A part that is different in every renewal: the text of one string. */
type Gap = Part

/** The last frame of a Lease that was parsed. */
interface Pattern {
  bytes: Buffer
  version: Gap
  renewal: Gap
  /** All of them, in order: these two, and the times of the managed fields, which nobody reads. */
  gaps: Gap[]
  event: LeaseEvent
}

interface LeaseEvent {
  type: string
  object: KubeObject & { metadata: object; spec: { renewTime: string } }
}

/**
 * Creates a parser of one stream's watch events; it gives what `parseEvent` gives.
 *
 * Renewals are most of what a large cluster has to tell, and each repeats the frame before it but for its version and
 * times. So the last parsed frame of each Lease is kept, and one that differs from it in the text of those strings only is
 * read from it: a comparison of bytes instead of parsing.
 */
export function createEventReader(): (bytes: Uint8Array) => unknown {
  const patterns = createRecent<number, Pattern>(leasesKept)
  const readLong = createSpecReader()
  return (bytes) => {
    const frame = toBuffer(bytes)
    if (frame.length > longest) return readLong(frame)
    const key = digestUid(frame)
    const pattern = patterns.get(key)
    if (pattern !== undefined && fits(frame, pattern)) return renew(frame, pattern)
    const event = parseEvent(frame)
    const next = makePattern(frame, event as LeaseEvent | null)
    if (next === undefined) patterns.delete(key)
    else patterns.set(key, next)
    return event
  }
}

function renew(frame: Buffer, { event, version, renewal }: Pattern): LeaseEvent {
  const { type, object } = event
  const resourceVersion = frame.toString('latin1', version.from, version.to)
  const renewTime = frame.toString('latin1', renewal.from, renewal.to)
  return {
    type,
    object: { ...object, metadata: { ...object.metadata, resourceVersion }, spec: { ...object.spec, renewTime } },
  }
}

/** True where all outside of the gaps is the same, and nothing in a gap could end its string or escape. */
function fits(frame: Buffer, { bytes, gaps }: Pattern): boolean {
  if (frame.length !== bytes.length) return false
  let at = 0
  // A loop over bytes: at such lengths the calls to what compares them natively take longer than the comparison.
  for (const { from, to } of gaps) {
    while (at < from && frame[at] === bytes[at]) at++
    if (at < from) return false
    while (at < to && isPlain(frame[at] as number)) at++
    if (at < to) return false
  }
  while (at < frame.length && frame[at] === bytes[at]) at++
  return at === frame.length
}

function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f && byte !== quote && byte !== backslash
}

/** Undefined where it is not certain which bytes are the version and the time of renewal. */
function makePattern(frame: Buffer, event: LeaseEvent | null): Pattern | undefined {
  const renewal = findOnly(frame, renewField)
  const version = findOnly(frame, versionField)
  if (renewal === undefined || version === undefined || event === null) return undefined
  const { metadata, spec } = (event.object as Partial<LeaseEvent['object']> | undefined) ?? {}
  const read = ({ from, to }: Gap) => frame.toString('latin1', from, to)
  if (metadata?.resourceVersion !== read(version) || spec?.renewTime !== read(renewal)) return undefined
  const managed = findManagedFields(frame) ?? { from: 0, to: 0 }
  const hasEscapes = frame.subarray(0, managed.from).includes(backslash) || frame.includes(backslash, managed.to)
  if (hasEscapes) return undefined
  const gaps = [version, renewal, ...findTimes(frame, managed)].sort((a, b) => a.from - b.from)
  // A copy: the frame is a part of a chunk, which would be kept whole.
  const pattern = { bytes: Buffer.from(frame), version, renewal, gaps, event }
  return fits(frame, pattern) ? pattern : undefined
}

/** The times inside of the managed fields. */
function findTimes(frame: Buffer, managed: Gap): Gap[] {
  const gaps: Gap[] = []
  for (let at = frame.indexOf(timeField, managed.from); at !== -1 && at < managed.to; ) {
    const from = at + timeField.length
    gaps.push({ from, to: frame.indexOf(quote, from) })
    at = frame.indexOf(timeField, from)
  }
  return gaps
}

/** Where no quote is escaped, such bytes are the name of a field and the beginning of its string, and the next quote ends it. */
function findOnly(frame: Buffer, field: Buffer): Gap | undefined {
  const at = frame.indexOf(field)
  if (at === -1 || frame.includes(field, at + 1)) return undefined
  const from = at + field.length
  return { from, to: frame.indexOf(quote, from) }
}
