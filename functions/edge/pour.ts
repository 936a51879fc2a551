import type { Flow } from '../streams/subscription.ts'

/**
 * Lets a flow write the body of a response through one of the runtime's own streams, which hand buffers on outside of
 * JavaScript. A write is settled when the buffer has gone to the socket.
 */
export function pour(flow: Flow, response: Response, signal: AbortSignal): Response {
  const { readable, writable } = new IdentityTransformStream()
  const writer = writable.getWriter()
  // Whatever broke it: the reader is gone.
  const leave = () => flow.leave()
  signal.addEventListener('abort', leave, { once: true })
  writer.closed.catch(leave)
  flow.start({
    write(bytes) {
      writer.write(bytes).then(() => flow.want(), leave)
      return false
    },
    close: () => void writer.close().catch(leave),
    cut: (error) => void writer.abort(error).catch(leave),
  })
  flow.want()
  return new Response(readable, response)
}
