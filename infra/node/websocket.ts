import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'

/** The server's side of a WebSocket, without extensions: what is sent is compressed by nobody. */
export interface WebSocketLink {
  /** Sends text. False when the socket is full; `onDrain` tells when it no longer is. */
  send(text: Uint8Array): boolean
  /** Says goodbye and closes. */
  close(code: number): void
  /** Closes the connection under a client that takes nothing. */
  destroy(): void
  onText(listen: (text: string) => void): void
  onDrain(listen: () => void): void
  onClose(listen: () => void): void
}

/** The longest message that a client may send, in bytes, and in how many pieces. */
const maxMessage = 64 * 1024
const maxPieces = 256
/** How long a client may take to answer a goodbye, in ms. */
const patience = 1_000

const codes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** The answer to a key, which shows that this is no cache. RFC 6455, section 4.2.2. */
export function answerKey(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
}

/**
 * Speaks the WebSocket protocol over a socket that was upgraded.
 * @see https://www.rfc-editor.org/rfc/rfc6455#section-5
 */
export function createWebSocketLink(socket: Duplex, head: Uint8Array): WebSocketLink {
  let hear: (text: string) => void = () => undefined
  let pending: Buffer = Buffer.from(head)
  /** Of a message whose last piece has not come. */
  let pieces: Buffer[] = []
  let size = 0
  let isClosing = false

  const close = (code: number) => {
    if (isClosing) return
    isClosing = true
    const payload = Buffer.alloc(2)
    payload.writeUInt16BE(code)
    socket.end(encodeFrame(codes.close, payload))
    const timer = setTimeout(() => socket.destroy(), patience)
    socket.once('close', () => clearTimeout(timer))
  }
  const take = (frame: Frame) => {
    if (frame.code === codes.close) close(answerGoodbye(frame.payload))
    else if (frame.code === codes.ping) socket.write(encodeFrame(codes.pong, frame.payload))
    else if (frame.code === codes.binary) close(1003)
    else if (frame.code === codes.pong) return
    else if (frame.code > codes.binary || (frame.code === codes.text) !== (pieces.length === 0)) close(1002)
    else {
      pieces.push(frame.payload)
      size += frame.payload.length
      if (size > maxMessage || pieces.length > maxPieces) close(1009)
      else if (frame.isLast) {
        const text = decodeText(Buffer.concat(pieces))
        pieces = []
        size = 0
        if (text === undefined) close(1007)
        else hear(text)
      }
    }
  }
  const read = () => {
    while (!isClosing) {
      const frame = decodeFrame(pending)
      if (frame === undefined) return
      if (typeof frame === 'number') {
        close(frame)
        return
      }
      pending = pending.subarray(frame.size)
      take(frame)
    }
  }
  socket.on('data', (chunk: Buffer) => {
    if (isClosing) return
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
    read()
    // Whoever takes no answers gets to ask no more: pongs and refusals would pile up here.
    if (!socket.writableNeedDrain) return
    socket.pause()
    socket.once('drain', () => socket.resume())
  })
  // A client that says nothing more, not even goodbye, is gone.
  if (socket.readableEnded) socket.end()
  else socket.on('end', () => socket.end())
  // Whatever broke it, it is closed: that is all that matters here.
  socket.on('error', () => socket.destroy())

  return {
    send: (text) => !isClosing && socket.write(encodeFrame(codes.text, text)),
    close,
    destroy: () => socket.destroy(),
    onText(listen) {
      hear = listen
      read()
    },
    onDrain: (listen) => socket.on('drain', listen),
    onClose(listen) {
      // It may have gone while the upgrade was being decided on.
      if (socket.closed) queueMicrotask(listen)
      else socket.on('close', listen)
    },
  }
}

interface Frame {
  readonly code: number
  readonly isLast: boolean
  readonly payload: Buffer
  /** With its head. */
  readonly size: number
}

/** The first whole frame; undefined when there is none yet, or the code to close with. */
function decodeFrame(bytes: Buffer): Frame | number | undefined {
  const [first, second] = bytes
  if (first === undefined || second === undefined) return undefined
  const code = first & 0x0f
  // No extension was agreed on, and clients mask what they send.
  if ((first & 0x70) !== 0 || (second & 0x80) === 0) return 1002
  const isLast = (first & 0x80) !== 0
  let length = second & 0x7f
  if (code >= 8 && (length > 125 || !isLast)) return 1002
  let at = 2
  if (length === 126) {
    if (bytes.length < 4) return undefined
    length = bytes.readUInt16BE(2)
    at = 4
  } else if (length === 127) return 1009
  if (length > maxMessage) return 1009
  const size = at + 4 + length
  if (bytes.length < size) return undefined
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, size))
  for (let i = 0; i < length; i++) payload[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0)
  return { code, isLast, payload, size }
}

/** The code to say goodbye with to who said so: the same, if it was one. RFC 6455, section 7.4. */
function answerGoodbye(payload: Buffer): number {
  if (payload.length === 0) return 1000
  if (payload.length === 1) return 1002
  const code = payload.readUInt16BE()
  const isOne = (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999)
  if (!isOne) return 1002
  return decodeText(payload.subarray(2)) === undefined ? 1007 : code
}

function encodeFrame(code: number, payload: Uint8Array): Buffer {
  const { length } = payload
  const headSize = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const frame = Buffer.allocUnsafe(headSize + length)
  frame[0] = 0x80 | code
  if (headSize === 2) frame[1] = length
  else if (headSize === 4) {
    frame[1] = 126
    frame.writeUInt16BE(length, 2)
  } else {
    frame[1] = 127
    frame.writeBigUInt64BE(BigInt(length), 2)
  }
  frame.set(payload, headSize)
  return frame
}

function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}
