import { joinBytes } from '../../shared/bytes.ts'
import { openCursor } from '../../shared/cursor.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Caller } from '../auth/authenticator.ts'
import type { Selection } from '../selection.ts'
import type { Services } from '../services.ts'
import type { Start } from '../start.ts'
import { encodeText, ndjson } from './frames.ts'
import { openReading } from './open.ts'
import { toCursor } from './place.ts'
import type { Flow } from './subscription.ts'

/** A WebSocket, as runtimes offer it. */
export interface Link {
  /** Sends text. False when the socket is full; `onDrain` tells when it no longer is. */
  send(text: Uint8Array): boolean
  close(code: number): void
  /** Closes the connection under a client that takes nothing. */
  destroy(): void
  onText(listen: (text: string) => void): void
  onDrain(listen: () => void): void
  onClose(listen: () => void): void
  /** Where the runtime holds connections beyond its process, it asks this now and then for what the stream goes on by. */
  onKeep?(describe: () => Kept | undefined): void
}

/** What it takes to go on with a stream in another process, after the last line that was sent. */
export interface Kept {
  /** Without the credential. */
  readonly caller: Caller
  readonly selection: Selection
  readonly cursor: string
}

/** The server goes away, or the credential does. */
const goingAway = 1001
/** The client does what nobody is allowed to. */
const policyViolation = 1008
/** How many messages of a client may wait until the one before was dealt with. */
const mostWaiting = 16
/** A message that is answered whatever else goes on, and the answer: for clients that cannot ping by the protocol. */
export const ping = '{"relay":"ping"}'
export const pong = '{"relay":"pong"}\n'

/**
 * Streams events over a WebSocket, as JSON lines: a message holds one line or several. What the client sends is read by
 * `readSelection`; from then on the stream goes on with that filter, after the last line that was sent.
 * @param wish.flow the stream to begin with, as it was opened for the same caller and from the same start.
 */
export function serveSocket(
  services: Services,
  link: Link,
  wish: { caller: Caller; selection: Selection; start: Start; flow: Flow },
  readSelection: (message: string) => Promise<Selection>,
): void {
  const { caller } = wish
  let { selection, start, flow } = wish
  /** What was handed over of a line whose rest is to come. */
  let rest: Uint8Array = new Uint8Array(0)
  let isClosed = false
  let waiting = 0
  /** The changes are made one after the other. */
  let changing = Promise.resolve()

  /** Remembers the place behind what was sent. */
  const note = (lines: string) => {
    const cursor = readPlace(lines.slice(lines.lastIndexOf('\n', lines.length - 2) + 1), start)
    if (cursor !== undefined) start = { position: openCursor(cursor), seal: start.seal }
  }

  const begin = () => {
    rest = new Uint8Array(0)
    flow.start({
      write(bytes) {
        const text = rest.length === 0 ? bytes : joinBytes([rest, bytes])
        const end = text.lastIndexOf(10) + 1
        rest = text.slice(end)
        if (end === 0) return true
        const lines = text.subarray(0, end)
        note(decoder.decode(lines.subarray(Math.max(0, lines.lastIndexOf(10, end - 2)))))
        return link.send(lines)
      },
      close: () => link.close(goingAway),
      cut: () => link.destroy(),
    })
    flow.want()
  }

  const change = async (message: string) => {
    try {
      const wanted = await readSelection(message)
      if (isClosed) return
      // First the new one: when there is none to be had, the one before stays.
      const opened = openReading(services, { ...wanted, caller, start, format: ndjson, kind: 'websocket' })
      flow.leave()
      flow = opened
      selection = wanted
      begin()
    } catch (error) {
      if (!(error instanceof RelayError)) throw error
      const { field } = error.details
      link.send(
        encodeText(
          `${JSON.stringify({ relay: 'error', ...(field === undefined ? {} : { field }), detail: error.message })}\n`,
        ),
      )
    }
  }

  link.onDrain(() => flow.want())
  link.onClose(() => {
    isClosed = true
    flow.leave()
  })
  link.onKeep?.(() => {
    if (waiting > 0 || rest.length > 0 || start.withState) return undefined
    return { caller: services.authenticator.detach(caller), selection, cursor: toCursor(start, selection.clauses) }
  })
  begin()
  link.onText((message) => {
    if (message === ping) {
      link.send(encodeText(pong))
      return
    }
    if (waiting === mostWaiting) {
      link.close(policyViolation)
      return
    }
    waiting++
    changing = changing
      .then(() => change(message))
      .catch((error: unknown) => {
        services.log.error({ err: error }, 'a WebSocket failed')
        link.destroy()
      })
      .finally(() => waiting--)
  })
}

const decoder = new TextDecoder()

/** The cursor of a line. While the current objects are told, there is no place to go on from but the beginning. */
function readPlace(line: string, { withState }: Start): string | undefined {
  const ofEvent = /^\s*\{"cursor":"([^"]+)"/.exec(line)?.[1]
  if (ofEvent !== undefined) return ofEvent
  const [, control, cursor] = /^\s*\{"relay":"(\w+)".*"cursor":"([^"]+)"/.exec(line) ?? []
  return withState && control !== 'live' ? undefined : cursor
}
