import type { Flow } from './subscription.ts'

/**
 * A flow as the body of a response. The stream has no queue of its own (`highWaterMark: 0`), so `pull` means that the socket
 * took everything so far.
 */
export function toReadable(flow: Flow, signal: AbortSignal): ReadableStream<Uint8Array> {
  signal.addEventListener('abort', flow.leave, { once: true })
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        flow.start({
          write(bytes) {
            controller.enqueue(bytes)
            return false
          },
          close: () => controller.close(),
          cut: (error) => controller.error(error),
        })
      },
      pull: flow.want,
      cancel: flow.leave,
    },
    { highWaterMark: 0 },
  )
}
