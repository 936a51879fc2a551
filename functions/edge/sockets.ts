import type { Limits } from '../limits.ts'
import type { Link } from '../streams/socket.ts'

/** The WebSockets of one object. Events come to the object, not to the socket, since a socket may outlive it. */
export interface Sockets {
  link(socket: WebSocket): Link
  hear(socket: WebSocket, message: string | ArrayBuffer): void
  /** The client is gone; `code` is what it said goodbye with. */
  leave(socket: WebSocket, code?: number): void
}

interface Ears {
  text(text: string): void
  drain(): void
  close(): void
}

/** How often a full socket is looked at: the runtime does not tell when it has room again. */
const glance = 20
/** The longest message that a client may send, in bytes. */
const maxMessage = 64 * 1024

/** RFC 6455, section 7.4.1: never sent. */
const noCode = 1005
const abnormal = 1006

/** Creates the sockets of an object that has none yet. */
export function createSockets({ chunk }: Pick<Limits, 'chunk'>): Sockets {
  const all = new Map<WebSocket, Ears>()
  const full = new Set<WebSocket>()
  const decode = createDecoder()
  let timer: ReturnType<typeof setInterval> | undefined

  const forget = (socket: WebSocket) => {
    const ears = all.get(socket)
    all.delete(socket)
    full.delete(socket)
    ears?.close()
  }
  const close = (socket: WebSocket, code: number) => {
    if (socket.readyState !== WebSocket.CLOSED) socket.close(code)
    forget(socket)
  }
  const look = () => {
    for (const socket of full) {
      if (socket.bufferedAmount > chunk) continue
      full.delete(socket)
      all.get(socket)?.drain()
    }
    if (full.size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    link(socket) {
      const ears: Ears = { text: () => undefined, drain: () => undefined, close: () => undefined }
      all.set(socket, ears)
      return {
        send(bytes) {
          if (socket.readyState !== WebSocket.OPEN) return false
          socket.send(decode(bytes))
          if (socket.bufferedAmount <= chunk) return true
          full.add(socket)
          timer ??= setInterval(look, glance)
          return false
        },
        close: (code) => close(socket, code),
        destroy: () => close(socket, 1011),
        remember: (memory) => socket.serializeAttachment(memory),
        onText(listen) {
          ears.text = listen
        },
        onDrain(listen) {
          ears.drain = listen
        },
        onClose(listen) {
          ears.close = listen
        },
      }
    },
    hear(socket, message) {
      if (typeof message !== 'string') close(socket, 1003)
      else if (message.length > maxMessage) close(socket, 1009)
      else all.get(socket)?.text(message)
    },
    leave(socket, code = noCode) {
      // Some codes only say that none was sent.
      close(socket, code === noCode || code === abnormal ? 1000 : code)
    },
  }
}

/** Decodes UTF-8. All readers of a view are sent the same bytes one after the other, so that the last text is often asked for again. */
function createDecoder(): (bytes: Uint8Array) => string {
  const decoder = new TextDecoder()
  let last: { buffer: ArrayBufferLike; from: number; length: number; text: string } | undefined
  return (bytes) => {
    const { buffer, byteOffset: from, byteLength: length } = bytes
    if (last?.buffer !== buffer || last.from !== from || last.length !== length) {
      last = { buffer, from, length, text: decoder.decode(bytes) }
    }
    return last.text
  }
}
