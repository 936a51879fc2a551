import type { Link } from '../streams/socket.ts'

/** How often a full socket is looked at, in ms: the runtime does not tell when it has room again. */
const glance = 20
/** The longest message that a client may send, in characters. */
const maxMessage = 64 * 1024

/**
 * Makes a link of a WebSocket. It does not hibernate: the platform lets only objects sleep that wait for nothing, and one
 * with a subscriber waits for the log.
 * @param chunk how much may be unsent before the socket counts as full, in bytes.
 */
export function createLink(socket: WebSocket, chunk: number): Link {
  let drain: () => void = () => undefined
  let timer: ReturnType<typeof setInterval> | undefined
  const close = (code: number) => {
    clearInterval(timer)
    if (socket.readyState === WebSocket.OPEN) socket.close(code)
  }
  const look = () => {
    if (socket.bufferedAmount > chunk) return
    clearInterval(timer)
    timer = undefined
    drain()
  }
  socket.accept()
  return {
    send(bytes) {
      if (socket.readyState !== WebSocket.OPEN) return false
      socket.send(decode(bytes))
      if (socket.bufferedAmount <= chunk) return true
      timer ??= setInterval(look, glance)
      return false
    },
    close,
    destroy: () => close(1011),
    onText(listen) {
      socket.addEventListener('message', ({ data }) => {
        if (typeof data !== 'string') close(1003)
        else if (data.length > maxMessage) close(1009)
        else listen(data)
      })
    },
    onDrain(listen) {
      drain = listen
    },
    onClose(listen) {
      for (const type of ['close', 'error'] as const) {
        socket.addEventListener(type, () => {
          clearInterval(timer)
          listen()
        })
      }
    },
  }
}

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
