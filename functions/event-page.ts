import { RelayError } from '../shared/errors.ts'
import { completeEvent } from '../shared/event.ts'
import { compileFilter, type Matcher } from '../shared/filter/filter.ts'
import type { Caller } from './auth/authenticator.ts'
import type { Selection } from './selection.ts'
import type { Services } from './services.ts'
import type { Hub } from './streams/hub.ts'
import type { Pages } from './streams/pages.ts'
import { type Place, toCursor } from './streams/place.ts'

/** How many entries one request looks at. */
const scanLimit = 10_000
/** How many bytes of JSON a page holds before it ends early. */
const sizeLimit = 4 * 1024 * 1024

/** Some events as JSON texts, and where to go on. */
export interface EventPage {
  readonly events: readonly string[]
  readonly next: Place
}

/** What one request asks for. */
interface Wish extends Selection {
  readonly caller: Caller
  readonly limit: number
  /** How long to wait while there is nothing, in seconds. */
  readonly wait: number
}

/**
 * Reads events that pass, and goes on through those that do not for a while: a page may be empty though the log goes on, but
 * `next` is always further.
 * @throws RelayError `gone` when the position is no longer kept.
 */
async function readEventPage(
  pages: Pages,
  start: Place,
  { clauses, limit, match }: Wish & { match: Matcher },
): Promise<EventPage> {
  const events: string[] = []
  let { seal } = start
  let { epoch, seq } = start.position
  let hasMoved = false
  let size = 0
  const last = seq + scanLimit
  while (seq < last && events.length < limit && size < sizeLimit) {
    const answer = await pages.after({ epoch, seq })
    if (answer.type === 'end') break
    if (answer.type === 'gone') {
      // What was read so far is still true; the next page will say that the rest is gone.
      if (hasMoved) break
      throw new RelayError('gone', 'The events after this place are no longer kept; start from the oldest cursor.', {
        oldest: answer.oldest.seal.toCursor(answer.oldest.position),
      })
    }
    ;({ epoch, seal } = answer.batch)
    for (const item of answer.batch.events) {
      if (item.seq <= seq) continue
      if (events.length === limit || size >= sizeLimit) break
      seq = item.seq
      hasMoved = true
      const scope = match(item.event)
      if (scope === undefined) continue
      size += item.json.length
      const cursor = toCursor({ position: { epoch, seq }, seal }, clauses)
      events.push(completeEvent(item.json, cursor, scope === 'in' ? undefined : scope))
    }
  }
  return { events, next: { position: { epoch, seq }, seal } }
}

/**
 * Reads a page; while it would be empty, waits for events that pass. Waits by listening to the tail like any stream, counts as
 * one and ends with its caller's credential, and reads what the tail has in memory: those who wait ask Redis for nothing more.
 * @throws RelayError `gone`; `unavailable` or `too_many` when too many wait already.
 */
export async function waitForPage(
  { hub, sessions }: Pick<Services, 'hub' | 'sessions'>,
  start: Place,
  wish: Wish,
  signal: AbortSignal,
): Promise<EventPage> {
  const until = performance.now() + wish.wait * 1_000
  const asked = { ...wish, match: compileFilter(wish.filter) }
  const read = (pages: Pages, place: Place) => readEventPage(pages, place, asked)
  // From Redis, since the tail may be a moment behind: whoever wrote, or was told, finds what was there before the question.
  let page = await read(hub.pages, start)
  if (page.events.length > 0 || wish.wait === 0) return page
  const bell = createBell()
  let isEnding = false
  const end = () => {
    isEnding = true
    bell.ring()
  }
  const leave = hub.join({ wake: bell.ring, sweep: () => undefined, end })
  let release: () => void = () => undefined
  signal.addEventListener('abort', bell.ring, { once: true })
  try {
    release = sessions.open(wish.caller, wish.filter, end)
    while (page.events.length === 0 && !signal.aborted && performance.now() < until) {
      // What came before the tail began is in Redis alone, and nobody rings for it.
      await bell.wait(Math.min(until - performance.now(), 1_000))
      if (isEnding) break
      page = await read(readNear(hub), page.next)
    }
  } finally {
    leave()
    release()
  }
  return page
}

/** Memory first, where the tail follows the log. */
function readNear(hub: Hub): Pages {
  return {
    async after(position) {
      const place = hub.locate(position)
      if (place === 'behind') return hub.pages.after(position)
      return place === 'head' ? { type: 'end' } : { type: 'batch', batch: place }
    },
  }
}

/** Something to wait for that may be rung at any time, also while nobody waits. */
function createBell(): { ring(): void; wait(ms: number): Promise<void> } {
  let isRung = false
  let wake: () => void = () => undefined
  return {
    ring() {
      isRung = true
      wake()
    },
    async wait(ms) {
      let timer: ReturnType<typeof setTimeout> | undefined
      await new Promise<void>((resolve) => {
        wake = resolve
        timer = setTimeout(resolve, isRung ? 0 : ms)
      })
      clearTimeout(timer)
      isRung = false
    },
  }
}
