import { completeEvent } from '../../shared/event.ts'

const encoder = new TextEncoder()

/** How one event is written for one kind of reader. */
export interface Format {
  readonly name: string
  frame(json: string, cursor: string, scope?: 'entered' | 'left'): string
}

/**
 * Server-sent events: an unnamed message with the event as its data and the cursor as its id.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
export const sse: Format = {
  name: 'sse',
  frame: (json, cursor, scope) => `id: ${cursor}\ndata: ${completeEvent(json, cursor, scope)}\n\n`,
}

/**
 * A message about the stream itself, which a client listens to by name: `ready` says where it begins, `live` that all
 * current objects were told, `reset` that events are missing.
 */
export function frameControl(
  name: 'ready' | 'live' | 'reset',
  data: Readonly<Record<string, string>>,
  id?: string,
): Uint8Array {
  const place = id === undefined ? '' : `id: ${id}\n`
  return encodeText(`event: ${name}\n${place}data: ${JSON.stringify(data)}\n\n`)
}

/** An object as it is now: without an id, since a client that reconnects before all of them came must get them again. */
export function frameState(json: string): string {
  return `data: ${json}\n\n`
}

/**
 * Shows that the connection lives. A comment alone does not move a client's last event id; a block with an id and no data
 * does, and dispatches nothing.
 */
export function frameHeartbeat(cursor?: string): Uint8Array {
  return encodeText(cursor === undefined ? ': heartbeat\n\n' : `: heartbeat\nid: ${cursor}\n\n`)
}

/** How long a client waits before it reconnects, in ms. */
export function frameRetry(ms: number): Uint8Array {
  return encodeText(`retry: ${Math.round(ms)}\n\n`)
}

/** UTF-8. */
export function encodeText(text: string): Uint8Array {
  return encoder.encode(text)
}

/** One buffer of many; a single one is passed on uncopied. */
export function joinBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces
  if (only !== undefined && pieces.length === 1) return only
  const joined = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}
