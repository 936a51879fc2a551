import { joinBytes } from '../../shared/bytes.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Filter } from '../../shared/filter/filter.ts'
import type { Logger } from '../../shared/role.ts'
import type { Limits } from '../limits.ts'
import type { Batch, BatchEvent } from './batch.ts'
import { encodeText, type Format } from './frames.ts'
import type { Hub } from './hub.ts'
import { type Loss, type Place, toCursor } from './place.ts'
import { sleep } from './tail.ts'

/** What a stream says before it is live. */
export type Prelude = AsyncGenerator<Uint8Array, void, void>

/** Which live events a reader saw already as part of the state that it was sent first. */
export interface Seen {
  has(event: BatchEvent): boolean
  /** Beyond this entry there is nothing to remember. */
  until(): number
}

/** How a stream begins and ends. */
export interface StreamOptions {
  readonly filter: Filter
  /** What cursors are bound to: the clauses that were asked for; those of the filter where absent. */
  readonly clauses?: readonly string[]
  readonly format: Format
  readonly start: Place
  readonly prelude: Prelude
  readonly seen?: Seen
  /** Watches over the credential; the answer forgets the stream. */
  readonly guard?: (end: () => void) => () => void
}

/** Where a stream is written to. */
export interface Outlet {
  /** Takes bytes. True when it would take more at once; else it calls `want` when it would. */
  write(bytes: Uint8Array): boolean
  /** The end, after all that was written. */
  close(): void
  /** Closes the connection under a reader that takes nothing, not even the end, or for which there is nothing to be had. */
  cut(error: Error): void
}

/** A stream that waits for its outlet. */
export interface Flow {
  start(outlet: Outlet): void
  /** The outlet took everything so far. */
  want(): void
  /** The reader is gone. */
  leave(): void
}

/** The message with which a stream says that events are missing and where it goes on. */
export function frameReset(format: Format, oldest: string, reason: Loss): string {
  return format.control('reset', { oldest, reason }, oldest)
}

/**
 * Opens a stream that pulls from the hub by position. Its whole memory is a place and at most one buffer, and that one
 * is usually shared: a reader that does not read costs nothing, and is cut.
 *
 * @throws RelayError `unavailable`, as `hub.join` does.
 */
export function openStream(deps: { hub: Hub; log: Logger; limits: Limits }, options: StreamOptions): Flow {
  const { hub, log, limits } = deps
  // What is not named here is let go once the stream is open: ten thousand of them wait most of the time.
  const { format } = options
  let { position, seal } = options.start
  let prelude: Prelude | undefined = options.prelude
  let seen = options.seen
  /** What was read and not handed over yet; ends with a whole message, so nothing else may be written before its end. */
  let stock: Uint8Array | undefined
  /** A page that was read while the reader was behind. */
  let page: Batch | undefined
  let isWanted = false
  let isReading = false
  /** Nothing more to be had before the next wake. */
  let isAtEnd = false
  let wakes = 0
  let isOver = false
  let handedAt = performance.now()
  let outlet: Outlet | undefined
  /** While the stream waits before it asks Redis again. */
  let resting: AbortController | undefined

  const finish = () => {
    if (isOver) return false
    isOver = true
    resting?.abort()
    leave()
    release()
    hub.views.release(view)
    // A generator that waits for Redis ends after that.
    prelude?.return().catch((error) => log.debug({ err: error }, 'a stream left while it was read for'))
    stock = undefined
    page = undefined
    return true
  }

  const close = () => {
    if (finish()) outlet?.close()
  }

  const cut = () => {
    if (!finish()) return
    log.info({ seconds: limits.stall / 1000 }, 'cut a reader that took nothing for too long')
    outlet?.cut(new Error('the reader is too slow'))
  }

  const hand = (bytes: Uint8Array) => {
    handedAt = performance.now()
    stock = bytes.length > limits.chunk ? bytes.subarray(limits.chunk) : undefined
    isWanted = outlet?.write(bytes.length > limits.chunk ? bytes.subarray(0, limits.chunk) : bytes) ?? false
  }

  /** What the view sees of a batch after the position, which moves behind it. */
  const take = (batch: Batch): Uint8Array => {
    const after = position.seq
    position = { epoch: batch.epoch, seq: batch.to }
    seal = batch.seal
    if (seen !== undefined && after >= seen.until()) seen = undefined
    if (seen === undefined && batch.from === after + 1) return batch.select(view)
    return batch.selectFrom(view, after, seen?.has)
  }

  const advance = () => {
    while (isWanted && !isOver) {
      if (stock !== undefined) {
        hand(stock)
        continue
      }
      const place = isReading || prelude !== undefined ? 'behind' : (page ?? hub.locate(position))
      page = undefined
      if (place === 'head' || (place === 'behind' && isAtEnd)) return
      if (place === 'behind') {
        if (!isReading) void read()
        return
      }
      const pieces: Uint8Array[] = []
      let size = 0
      for (let next: Batch | string = place; typeof next !== 'string' && size < limits.chunk; ) {
        const piece = take(next)
        if (piece.length > 0) pieces.push(piece)
        size += piece.length
        next = hub.locate(position)
      }
      if (size > 0) hand(joinBytes(pieces))
    }
  }

  /** Fetches what memory does not hold: the next piece of the prelude, or a page of the log. */
  const read = async () => {
    isReading = true
    try {
      if (prelude !== undefined) {
        const next = await prelude.next()
        if (next.done) prelude = undefined
        else stock = next.value
      } else {
        const wakesBefore = wakes
        const answer = await hub.pages.after(position)
        if (answer.type === 'batch') page = answer.batch
        else if (answer.type === 'end') isAtEnd = wakes === wakesBefore
        else {
          ;({ position, seal } = answer.oldest)
          seen = undefined
          stock = encodeText(frameReset(format, seal.toCursor(position), answer.reason))
        }
      }
    } catch (error) {
      if (prelude !== undefined) {
        fail(error)
        return
      }
      log.debug({ err: error }, 'a stream waits for Redis')
      resting = new AbortController()
      await sleep(500 + Math.random() * 1_000, resting.signal)
      resting = undefined
    } finally {
      isReading = false
    }
    guard(advance)
  }

  /** An entry that cannot be read ends this stream, not the tail that all share. */
  const guard = (action: () => void) => {
    try {
      action()
    } catch (error) {
      fail(error)
    }
  }

  const fail = (error: unknown) => {
    if (!finish()) return
    // Redis being away is told once by its connection, not by every stream.
    if (error instanceof RelayError) log.debug({ err: error }, 'a stream ended before it was live')
    else log.error({ err: error, position }, 'a stream failed')
    outlet?.cut(error instanceof Error ? error : new Error('the stream failed', { cause: error }))
  }

  const leave = hub.join({
    wake() {
      wakes++
      isAtEnd = false
      guard(advance)
    },
    sweep(now) {
      if (!isWanted && now - handedAt >= limits.stall) cut()
      else if (isWanted && now - handedAt >= limits.heartbeat) {
        const cursor = prelude === undefined ? toCursor({ position, seal }, view.clauses) : undefined
        hand(encodeText(format.heartbeat(cursor)))
      }
    },
    end: close,
  })
  const view = hub.views.acquire(options.filter, format, options.clauses)
  let release: () => void = () => undefined
  try {
    release = options.guard?.(close) ?? release
  } catch (error) {
    finish()
    throw error
  }

  return {
    start(given) {
      outlet = given
    },
    want() {
      isWanted = true
      guard(advance)
    },
    leave: finish,
  }
}
