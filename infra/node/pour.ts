import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'

/** Something that writes whenever it is wanted to. */
interface Flow {
  start(outlet: { write(bytes: Uint8Array): boolean; close(): void; cut(error: Error): void }): void
  want(): void
  leave(): void
}

/**
 * Sends the head of a response, and lets a flow write its body straight to the socket. A `ReadableStream` in between would
 * cost every idle reader tens of KB, and every write several turns of the event loop.
 */
export function pour(flow: Flow, { status, headers }: Response, outgoing: ServerResponse): Response {
  outgoing.on('close', () => flow.leave())
  outgoing.on('drain', () => flow.want())
  outgoing.writeHead(status, Object.fromEntries(headers))
  flow.start({
    write(bytes) {
      // Node would hold it back until the end of this turn, when what all readers are sent has left the caches again.
      const { socket } = outgoing
      socket?.cork()
      const isTaken = outgoing.write(bytes)
      socket?.uncork()
      return isTaken
    },
    close: () => outgoing.end(),
    cut: () => outgoing.destroy(),
  })
  if (outgoing.destroyed) flow.leave()
  else flow.want()
  return RESPONSE_ALREADY_SENT
}
