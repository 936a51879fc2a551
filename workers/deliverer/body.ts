import { completeEvent, type RelayEvent } from '../../shared/event.ts'
import type { LogReader } from '../../shared/log/reader.ts'
import { parsePosition } from '../../shared/position.ts'
import type { Delivery } from '../../shared/webhook/delivery.ts'
import { createCache } from './cache.ts'

/** The longest body that is sent whole, in bytes: many receivers take little more. */
const longest = 20_000

/** What is left out of an event that is too long, one after the other until it is not. */
const dispensable = ['object', 'old', 'conditions', 'containers', 'labels', 'changes'] as const

/** What of `data` is never left out: it says which object the event is about. */
const identity: readonly string[] = ['namespace', 'name', 'uid', 'resourceVersion']

/** Writes the bodies of requests as bytes, what many webhooks get once. */
export interface BodyWriter {
  /**
   * See `writeBody`.
   * @param id the delivery's.
   */
  write(event: string, id: string, delivery: Delivery, fields?: readonly string[]): Promise<Uint8Array>
}

/** How many bytes of bodies are remembered. */
const remembered = 16 * 1024 * 1024

/** Creates a writer with a memory of its own. */
export function createBodyWriter(reader: Pick<LogReader, 'toCursor'>): BodyWriter {
  const known = createCache<Uint8Array>(remembered)
  return {
    async write(event, id, delivery, fields) {
      const place = delivery.cursor ?? id
      const name = `${place} ${delivery.scope ?? ''} ${delivery.event}`
      const before = fields === undefined ? known.get(name) : undefined
      if (before !== undefined) return before
      const cursor = await reader.toCursor(parsePosition(place))
      const body = Buffer.from(writeBody(event, cursor, delivery.scope, fields))
      if (fields === undefined) known.set(name, body)
      return body
    },
  }
}

/**
 * Writes the body of a request. One that is too long goes without its largest parts, and names them in the extension
 * attribute `truncated`.
 * @param event JSON as in the log.
 * @param cursor the event's.
 * @param fields of `data`, dotted paths: if given, the event has only these, and what names its object.
 */
export function writeBody(event: string, cursor: string, scope: Delivery['scope'], fields?: readonly string[]): string {
  const whole = completeEvent(event, cursor, scope)
  if (fields === undefined && Buffer.byteLength(whole) <= longest) return whole
  const parsed = JSON.parse(whole) as RelayEvent & { truncated?: string }
  if (fields !== undefined) parsed.data = project(parsed.data, [...identity, ...fields]) as RelayEvent['data']
  const left: string[] = []
  let text = JSON.stringify(parsed)
  for (const part of dispensable) {
    if (Buffer.byteLength(text) <= longest) break
    if (!(part in parsed.data)) continue
    left.push(part)
    // Which kinds of change there were stays, since that is what filters ask for.
    if (part === 'changes') parsed.data.changes = parsed.data.changes.slice(0, 100).map(({ type }) => ({ type }))
    else delete parsed.data[part]
    text = JSON.stringify({ ...parsed, truncated: left.join(',') })
  }
  return text
}

function project(data: Readonly<Record<string, unknown>>, paths: readonly string[]): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  for (const path of paths) {
    const [name = '', ...rest] = path.split('.')
    if (!Object.hasOwn(data, name)) continue
    const value = data[name]
    if (rest.length === 0) result[name] = value
    else if (typeof value === 'object' && value !== null) {
      // A label's name may itself hold dots.
      const key = rest.join('.')
      const inner = Object.hasOwn(value, key) ? { [key]: (value as Record<string, unknown>)[key] } : {}
      result[name] = { ...(result[name] as object | undefined), ...inner }
    }
  }
  return result
}
