import type { Kept, Link } from '../streams/socket.ts'

/** How often a full socket is looked at, in ms: the runtime does not tell when it has room again. */
const glance = 20
/** The longest message that a client may send, in characters. */
const maxMessage = 64 * 1024

/** A link to a WebSocket that the object holds: events come to the object, which hands them on. */
export interface HeldLink extends Link {
  receive(message: string | ArrayBuffer): void
  /** Ends the stream, and leaves the WebSocket as it is. */
  leave(): void
  /**
   * Keeps with the WebSocket what the stream goes on by, if nothing was sent since the last time this was called. The answer
   * is what is kept: while there is any, it is where the client is.
   */
  keep(): Kept | undefined
}

/**
 * Makes a link of a WebSocket.
 * @param options.chunk how much may be unsent before the socket counts as full, in bytes.
 * @param options.kept what is kept with the WebSocket already.
 */
export function createLink(socket: WebSocket, options: { chunk: number; kept?: Kept }): HeldLink {
  const { chunk } = options
  let { kept } = options
  let isAtRest = kept !== undefined
  let drain: () => void = () => undefined
  let leave: () => void = () => undefined
  let listen: (text: string) => void = () => undefined
  let describe: () => Kept | undefined = () => undefined
  let timer: ReturnType<typeof setInterval> | undefined

  const end = () => {
    clearInterval(timer)
    leave()
  }
  const close = (code: number) => {
    if (socket.readyState === WebSocket.OPEN) socket.close(code)
    end()
  }
  const look = () => {
    if (socket.bufferedAmount > chunk) return
    clearInterval(timer)
    timer = undefined
    drain()
  }
  /** What is kept must never be older than what the client knows. */
  const move = () => {
    isAtRest = false
    if (kept === undefined) return
    kept = undefined
    socket.serializeAttachment(null)
  }
  return {
    send(bytes) {
      if (socket.readyState !== WebSocket.OPEN) return false
      move()
      socket.send(decode(bytes))
      if (socket.bufferedAmount <= chunk) return true
      timer ??= setInterval(look, glance)
      return false
    },
    close,
    destroy: () => close(1011),
    receive(message) {
      move()
      if (typeof message !== 'string') close(1003)
      else if (message.length > maxMessage) close(1009)
      else listen(message)
    },
    leave: end,
    keep() {
      if (!isAtRest) isAtRest = true
      else if (kept === undefined && socket.bufferedAmount === 0) kept = store(socket, describe())
      return kept
    },
    onText: (given) => (listen = given),
    onDrain: (given) => (drain = given),
    onClose: (given) => (leave = given),
    onKeep: (given) => (describe = given),
  }
}

/** The platform keeps 16 KiB at most; a stream that takes more to go on by keeps the object awake. */
function store(socket: WebSocket, kept: Kept | undefined): Kept | undefined {
  if (kept === undefined || JSON.stringify(kept).length > maxKept) return undefined
  socket.serializeAttachment(kept)
  return kept
}

/** In characters, of which each may take two bytes, in a list with some more. */
const maxKept = 6 * 1024

const decoder = new TextDecoder()
let last: { buffer: ArrayBufferLike; from: number; length: number; text: string } | undefined

/** Decodes UTF-8. All readers of a view are sent the same bytes one after the other, so that the last text is often asked for again. */
function decode(bytes: Uint8Array): string {
  const { buffer, byteOffset: from, byteLength: length } = bytes
  if (last?.buffer !== buffer || last.from !== from || last.length !== length) {
    last = { buffer, from, length, text: decoder.decode(bytes) }
  }
  return last.text
}
