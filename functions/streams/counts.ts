import type { Flow } from './subscription.ts'

/** The ways in which a stream is read. */
export const streamKinds = ['sse', 'ndjson', 'websocket'] as const

export type StreamKind = (typeof streamKinds)[number]

/** What became of the streams of one kind since the process began. */
export interface StreamCount {
  opened: number
  /** Handed to connections. */
  bytes: number
  /** Connections that were closed under a reader that took nothing for too long, */
  slow: number
  /** or for which there was nothing to be had, such as a Redis that is away. */
  failed: number
}

export type StreamCounts = Record<StreamKind, StreamCount>

/** Creates counts of nothing yet. */
export function createStreamCounts(): StreamCounts {
  const none = () => ({ opened: 0, bytes: 0, slow: 0, failed: 0 })
  return { sse: none(), ndjson: none(), websocket: none() }
}

/** The same flow, counted. */
export function countFlow(flow: Flow, count: StreamCount): Flow {
  let isWanted = false
  count.opened++
  return {
    start(outlet) {
      flow.start({
        write(bytes) {
          count.bytes += bytes.length
          isWanted = outlet.write(bytes)
          return isWanted
        },
        close: () => outlet.close(),
        cut(error) {
          // Who has not asked for more since the last write is who is waited for.
          if (isWanted) count.failed++
          else count.slow++
          outlet.cut(error)
        },
      })
    },
    want() {
      isWanted = true
      flow.want()
    },
    leave: flow.leave,
  }
}
