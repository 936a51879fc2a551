import { createHash } from 'node:crypto'
import type { RelayEvent } from '../../shared/event.ts'

/** What a request carries: its body, and the headers that say what that is. */
export interface Content {
  body: Uint8Array
  headers: Readonly<Record<string, string>>
  /** Of the body, in bytes. */
  length: number
}

/** Structured mode: the event as JSON, all in the body. */
export function encodeStructured(event: string): Content {
  return toContent(event, { 'content-type': 'application/cloudevents+json' })
}

/**
 * Binary mode: `data` is the body, and every other attribute a header.
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
 */
export function encodeBinary(event: string): Content {
  const { data, datacontenttype, ...attributes } = JSON.parse(event) as RelayEvent
  const headers: Record<string, string> = { 'content-type': datacontenttype }
  for (const [name, value] of Object.entries(attributes)) headers[`ce-${name}`] = encodeHeader(String(value))
  return toContent(JSON.stringify(data), headers)
}

/** Several events in one request, each encoded in structured mode. */
export function encodeBatch(events: readonly Content[]): Content {
  const parts: Uint8Array[] = []
  for (const [n, { body }] of events.entries()) parts.push(n === 0 ? opening : comma, body)
  const body = Buffer.concat([...parts, closing])
  return { body, headers: { 'content-type': 'application/cloudevents-batch+json' }, length: body.length }
}

const [opening, comma, closing] = ['[', ',', ']'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer]

/** The `webhook-id` of a batch: the same for the same events in the same order, and so over all repetitions. */
export function toBatchId(events: readonly string[]): string {
  return `batch_${createHash('sha256').update(JSON.stringify(events)).digest('base64url')}`
}

/** Percent-encodes all that the binding forbids in a header: what is not printable ASCII, space, `"` and `%`. */
function encodeHeader(value: string): string {
  return value.replace(/[^\x21\x23\x24\x26-\x7e]/gu, (character) =>
    Buffer.from(character).reduce((text, byte) => `${text}%${byte.toString(16).toUpperCase().padStart(2, '0')}`, ''),
  )
}

function toContent(text: string, headers: Record<string, string>): Content {
  const body = Buffer.from(text)
  return { body, headers, length: body.length }
}
