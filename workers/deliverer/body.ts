import { completeEvent, type RelayEvent } from '../../shared/event.ts'
import type { LogReader } from '../../shared/log/reader.ts'
import { parsePosition } from '../../shared/position.ts'
import type { Delivery } from '../../shared/webhook/delivery.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import { createCache } from './cache.ts'
import { type Content, encodeBinary, encodeStructured } from './content.ts'

/** The longest body that is sent whole, in bytes: many receivers take little more. */
export const longestBody = 20_000

/** What is left out of an event that is too long, one after the other until it is not. */
const dispensable = ['object', 'old', 'conditions', 'containers', 'labels', 'changes'] as const

/** What of `data` is never left out: it says which object the event is about. */
const identity: readonly string[] = ['namespace', 'name', 'uid', 'resourceVersion']

/** Writes what requests carry, once for the many webhooks that get the same. */
export interface ContentWriter {
  /**
   * One event, in the mode that the webhook wants; for a batch, as one of its parts.
   * @param event JSON as in the log.
   * @param id the delivery's.
   */
  write(event: string, id: string, delivery: Delivery, webhook: Pick<Webhook, 'content' | 'fields'>): Promise<Content>
}

/** How many bytes of bodies are remembered. */
const remembered = 16 * 1024 * 1024

/** Creates a writer with a memory of its own. */
export function createContentWriter(reader: Pick<LogReader, 'toCursor'>): ContentWriter {
  const known = createCache<Content>(remembered)
  return {
    async write(event, id, delivery, { content, fields }) {
      const isBinary = content === 'binary'
      const place = delivery.cursor ?? id
      const name = `${isBinary ? 'b' : ''} ${place} ${delivery.scope ?? ''} ${delivery.event}`
      const before = fields === undefined ? known.get(name) : undefined
      if (before !== undefined) return before
      const cursor = await reader.toCursor(parsePosition(place))
      const body = writeBody(event, cursor, delivery.scope, fields)
      const written = isBinary ? encodeBinary(body) : encodeStructured(body)
      if (fields === undefined) known.set(name, written)
      return written
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
  if (fields === undefined && Buffer.byteLength(whole) <= longestBody) return whole
  const parsed = JSON.parse(whole) as RelayEvent & { truncated?: string }
  if (fields !== undefined) parsed.data = project(parsed.data, [...identity, ...fields]) as RelayEvent['data']
  const left: string[] = []
  let text = JSON.stringify(parsed)
  for (const part of dispensable) {
    if (Buffer.byteLength(text) <= longestBody) break
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
