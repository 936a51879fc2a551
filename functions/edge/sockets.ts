import { openCursor } from '../../shared/cursor.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Position } from '../../shared/position.ts'
import type { Logger } from '../../shared/role.ts'
import type { App } from '../app.ts'
import type { Limits } from '../limits.ts'
import { ndjson } from '../streams/frames.ts'
import { type Kept, type Link, ping, pong } from '../streams/socket.ts'
import { createLink, type HeldLink } from './link.ts'

/** The WebSockets of an object. Where it may sleep, the platform holds them, also while the object is not in memory. */
export interface Sockets {
  accept(): { client: WebSocket; link: Link }
  receive(socket: WebSocket, message: string | ArrayBuffer): Promise<void>
  /** @param code with which the client closed, if it did. */
  leave(socket: WebSocket, code?: number): void
  /** Lets those that nobody serves go on from where they are, as far as Redis can be reached. Never rejects. */
  wake(): Promise<void>
  /** Looks after those that nobody serves. */
  onAlarm(): Promise<void>
}

/** How often is looked whether streams are at rest, in ms; and at least four times between heartbeats. */
const lookMs = 1_000
/** How often an object that may no longer sleep looks after WebSockets that it has from before, in ms. */
const watchMs = 60_000
/** RFC 6455, section 7.4.1. */
const normal = 1000
const goingAway = 1001
/** The connection ended without a word. */
const abnormal = 1006

/**
 * Creates what holds the WebSockets of an object.
 *
 * Only an object that may sleep has the platform hold them: seen in workerd, it ends the connection of one that was closed
 * from here no sooner than the object leaves memory, and clients that wait for that are late to come back.
 *
 * Invariants: while the platform holds any, an alarm is set. What is kept with a WebSocket is where its client is, or nothing
 * is kept; one with nothing kept whose object is gone is closed, and its client resumes by the cursor that it has.
 *
 * @param deps.sleepAfter how long the log must have been silent before the object lets go of it, in ms, and how often it then
 *   looks; absent: never.
 * @param deps.readEnd reads where the log ends.
 */
export function createSockets(deps: {
  context: DurableObjectState
  app: Pick<App, 'resume' | 'check' | 'stats'>
  limits: Pick<Limits, 'chunk' | 'heartbeat'>
  sleepAfter: number | undefined
  readEnd: () => Promise<Position>
  /** Nothing is to be read for a while. */
  release: () => void
  log: Logger
}): Sockets {
  const { context, app, limits, sleepAfter, readEnd, release, log } = deps
  const links = new Map<WebSocket, HeldLink>()
  let waking: Promise<void> | undefined
  let timer: ReturnType<typeof setInterval> | undefined
  let silent: { at: Position | undefined; since: number } = { at: undefined, since: 0 }
  let isWatched = false
  context.setWebSocketAutoResponse(new WebSocketRequestResponsePair(ping, pong))

  /** Those that nobody serves, with what is kept of them. */
  const listUnserved = () =>
    context
      .getWebSockets()
      .filter((socket) => !links.has(socket) && socket.readyState === WebSocket.OPEN)
      .map((socket) => ({ socket, kept: socket.deserializeAttachment() as Kept | null }))

  const setAlarm = async () => {
    isWatched = true
    const ends = listUnserved().map(({ kept }) => kept?.caller.expiresAt ?? Number.POSITIVE_INFINITY)
    const next = Math.min(Date.now() + (sleepAfter ?? watchMs), ...ends)
    // What is sent need not wait until this is written.
    await context.storage.setAlarm(Math.max(next, Date.now() + lookMs), { allowUnconfirmed: true })
  }

  const serve = (socket: WebSocket, kept?: Kept): HeldLink => {
    const link = createLink(socket, { chunk: limits.chunk, ...(kept === undefined ? {} : { kept }) })
    links.set(socket, link)
    timer ??= setInterval(look, Math.min(lookMs, limits.heartbeat / 4))
    return link
  }

  const hold = (socket: WebSocket): HeldLink => {
    context.acceptWebSocket(socket)
    if (!isWatched) context.waitUntil(setAlarm())
    return serve(socket)
  }

  /** Lets the object itself hold a WebSocket. */
  const own = (socket: WebSocket): HeldLink => {
    const link = createLink(socket, { chunk: limits.chunk })
    socket.accept()
    socket.addEventListener('message', ({ data }) => link.receive(data as string | ArrayBuffer))
    for (const type of ['close', 'error'] as const) socket.addEventListener(type, () => link.leave())
    return link
  }

  const look = () => {
    for (const socket of links.keys()) if (socket.readyState !== WebSocket.OPEN) drop(socket)
    const places = [...links.values()].map((link) => link.keep())
    const { head, subscribers } = app.stats()
    if (!isSame(silent.at, head)) silent = { at: head, since: Date.now() }
    if (links.size === 0) {
      clearInterval(timer)
      timer = undefined
    } else if (
      head !== undefined &&
      Date.now() - silent.since >= (sleepAfter ?? Number.POSITIVE_INFINITY) &&
      // Whoever else listens keeps the object awake, and following costs nothing more then.
      subscribers === links.size &&
      places.every((kept) => kept !== undefined && isSame(openCursor(kept.cursor), head))
    ) {
      sleep()
    }
  }

  const sleep = () => {
    clearInterval(timer)
    timer = undefined
    for (const link of links.values()) link.leave()
    log.debug({ sockets: links.size }, 'the log is silent, and let go of')
    links.clear()
    context.waitUntil(setAlarm())
  }

  const resume = async ({ socket, kept }: { socket: WebSocket; kept: Kept | null }) => {
    if (kept === null) return socket.close(goingAway)
    const link = serve(socket, kept)
    try {
      await app.resume(link, kept)
      if (socket.readyState !== WebSocket.OPEN) drop(socket)
    } catch (error) {
      log.debug({ err: error }, 'a WebSocket cannot go on')
      drop(socket)
      socket.close(goingAway)
    }
  }

  const resumeAll = async () => {
    const unserved = listUnserved()
    if (unserved.length === 0) return
    log.debug({ sockets: unserved.length }, 'WebSockets go on')
    // While Redis cannot be reached, they are better off as they are.
    await readEnd()
    await Promise.all(unserved.map(resume))
  }

  const wake = () => {
    waking ??= resumeAll()
      .catch((error: unknown) => log.warn({ err: error }, 'WebSockets cannot go on; trying again'))
      .finally(() => {
        waking = undefined
      })
    return waking
  }

  const drop = (socket: WebSocket) => {
    links.get(socket)?.leave()
    links.delete(socket)
  }

  /** Closes those whose callers may no longer listen, and shows the others that they are connected. */
  const attend = async ({ socket, kept }: { socket: WebSocket; kept: Kept | null }) => {
    if (kept === null) return
    try {
      await app.check(kept)
      if (!links.has(socket)) socket.send(ndjson.heartbeat(kept.cursor))
    } catch (error) {
      const isRefused = error instanceof RelayError && (error.code === 'unauthorized' || error.code === 'forbidden')
      log.debug({ err: error }, 'a WebSocket waits in vain')
      if (isRefused) socket.close(goingAway)
    }
  }

  return {
    accept() {
      const { 0: client, 1: socket } = new WebSocketPair()
      return { client, link: sleepAfter === undefined ? own(socket) : hold(socket) }
    },
    async receive(socket, message) {
      if (!links.has(socket)) await wake()
      await waking
      const link = links.get(socket)
      // A message must not be lost: the client says it again when it comes back.
      if (link === undefined) socket.close(goingAway)
      else link.receive(message)
    },
    leave(socket, code = abnormal) {
      drop(socket)
      // The platform leaves the answer to us. Applications have codes of their own, which go back as they came.
      if (code !== abnormal) socket.close(code >= 3_000 && code < 5_000 ? code : normal)
    },
    wake,
    async onAlarm() {
      const unserved = listUnserved()
      try {
        const end = unserved.length === 0 ? undefined : await readEnd()
        const isStill = unserved.every(({ kept }) => kept !== null && isSame(openCursor(kept.cursor), end))
        if (sleepAfter === undefined || !isStill) await wake()
        else {
          await Promise.all(unserved.map(attend))
          if (links.size === 0) release()
        }
      } catch (error) {
        log.warn({ err: error }, 'the log cannot be looked at; trying again')
      }
      isWatched = false
      if (context.getWebSockets().length > 0) await setAlarm()
    },
  }
}

function isSame(a: Position | undefined, b: Position | undefined): boolean {
  return a?.epoch === b?.epoch && a?.seq === b?.seq
}
