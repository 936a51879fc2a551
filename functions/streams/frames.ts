import { roomForMark } from '../../shared/cursor.ts'
import { completeEvent } from '../../shared/event.ts'

const encoder = new TextEncoder()

/** What a stream says of itself: where it begins, that all current objects were told, that events are missing. */
export type Control = 'ready' | 'live' | 'reset'

/** How things are written for one kind of reader. Each piece is whole: whatever follows it begins anew. */
export interface Format {
  readonly name: string
  readonly type: string
  /** What comes before the cursor of an event, and between the first and the next: lengths. */
  readonly beforeCursors: readonly number[]
  /** An event of the log. */
  frame(json: string, cursor: string, scope?: 'entered' | 'left'): string
  /** An object as it is now: without a place, since a client that reconnects before all of them came must get them again. */
  state(json: string): string
  /** @param cursor where the reader is from here on, if anywhere. */
  control(name: Control, data: Readonly<Record<string, string>>, cursor?: string): string
  /** Shows that the connection lives, and moves the place of a reader for whom nothing matches. */
  heartbeat(cursor?: string): string
  /** How long a client waits before it reconnects, in ms. */
  retry(ms: number): string
}

/**
 * Server-sent events: an unnamed message with the event as its data and the cursor as its id; controls are messages that a
 * client listens to by name.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export const sse: Format = {
  name: 'sse',
  type: 'text/event-stream',
  beforeCursors: ['id: '.length, '\ndata: {"cursor":"'.length],
  frame: (json, cursor, scope) => `id: ${cursor}\ndata: ${completeEvent(json, cursor, scope)}\n\n`,
  state: (json) => `data: ${json}\n\n`,
  control: (name, data, id) =>
    `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`,
  // A comment alone does not move a client's last event id; a block with an id and no data does, and dispatches nothing.
  heartbeat: (cursor) => (cursor === undefined ? ': heartbeat\n\n' : `: heartbeat\nid: ${cursor}\n\n`),
  retry: (ms) => `retry: ${Math.round(ms)}\n\n`,
}

/** One JSON text per line: events, and objects with `relay` for everything else. Also what WebSocket messages hold. */
export const ndjson: Format = {
  name: 'ndjson',
  type: 'application/x-ndjson',
  beforeCursors: ['{"cursor":"'.length],
  frame: (json, cursor, scope) => `${completeEvent(json, cursor, scope)}\n`,
  state: (json) => `${json}\n`,
  control: (name, data, cursor) =>
    `${JSON.stringify({ relay: name, ...data, ...(cursor === undefined ? {} : { cursor }) })}\n`,
  heartbeat: (cursor) => `${JSON.stringify({ relay: 'heartbeat', ...(cursor === undefined ? {} : { cursor }) })}\n`,
  retry: (ms) => `${JSON.stringify({ relay: 'retry', ms: Math.round(ms) })}\n`,
}

const roomy = new Map<Format, Format>()

/** The same format with room behind each event's cursor, so that what binds it can be written into a copy. */
export function leaveRoom(format: Format): Format {
  let found = roomy.get(format)
  if (found === undefined) {
    found = { ...format, frame: (json, cursor, scope) => format.frame(json, cursor + roomForMark, scope) }
    roomy.set(format, found)
  }
  return found
}

/** UTF-8. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(text)
}
