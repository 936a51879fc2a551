import { RelayError } from '../shared/errors.ts'
import { completeEvent } from '../shared/event.ts'
import type { Matcher } from '../shared/filter/filter.ts'
import type { Services } from './services.ts'
import type { Place } from './start.ts'
import type { BatchEvent } from './streams/batch.ts'
import type { Pages } from './streams/pages.ts'
import { sleep } from './streams/tail.ts'

/** How many entries one request looks at. */
const scanLimit = 10_000
/** How many bytes of JSON a page holds before it ends early. */
const sizeLimit = 4 * 1024 * 1024

/** Some events as JSON texts, and where to go on. */
export interface EventPage {
  readonly events: readonly string[]
  readonly next: Place
}

/**
 * Reads events that pass, and goes on through those that do not for a while: a page may be empty though the log goes on, but
 * `next` is always further.
 * @throws RelayError `gone` when the position is no longer kept.
 */
async function readEventPage(pages: Pages, start: Place, match: Matcher, limit: number): Promise<EventPage> {
  const events: string[] = []
  let { epoch, seq } = start.position
  let seen: BatchEvent | undefined
  let size = 0
  const last = seq + scanLimit
  while (seq < last && events.length < limit && size < sizeLimit) {
    const answer = await pages.after({ epoch, seq })
    if (answer.type === 'end') break
    if (answer.type === 'gone') {
      // What was read so far is still true; the next page will say that the rest is gone.
      if (seen !== undefined) break
      throw new RelayError('gone', 'The events after this place are no longer kept; start from the oldest cursor.', {
        oldest: answer.oldest.cursor,
      })
    }
    epoch = answer.batch.epoch
    for (const item of answer.batch.events) {
      if (item.seq <= seq) continue
      if (events.length === limit || size >= sizeLimit) break
      seq = item.seq
      seen = item
      const scope = match(item.event)
      if (scope === undefined) continue
      size += item.json.length
      events.push(completeEvent(item.json, item.cursor, scope === 'in' ? undefined : scope))
    }
  }
  return { events, next: { position: { epoch, seq }, cursor: seen?.cursor ?? start.cursor } }
}

/**
 * Reads a page; while it would be empty, waits for events that pass. Waits by listening to the tail like any stream.
 * @throws RelayError `gone`; `unavailable` when too many wait already.
 */
export async function waitForPage(
  { hub }: Pick<Services, 'hub'>,
  start: Place,
  wish: { match: Matcher; limit: number; wait: number },
  signal: AbortSignal,
): Promise<EventPage> {
  const end = performance.now() + wish.wait * 1_000
  let page = await readEventPage(hub.pages, start, wish.match, wish.limit)
  if (page.events.length > 0 || wish.wait === 0) return page
  let news = new AbortController()
  let isEnding = false
  const leave = hub.join({
    wake: () => news.abort(),
    sweep: () => undefined,
    end() {
      isEnding = true
      news.abort()
    },
  })
  try {
    while (page.events.length === 0 && !isEnding && !signal.aborted && performance.now() < end) {
      // News may come while the page is read.
      const ready = news
      await sleep(Math.min(end - performance.now(), 1_000), AbortSignal.any([ready.signal, signal]))
      news = new AbortController()
      page = await readEventPage(hub.pages, page.next, wish.match, wish.limit)
    }
  } finally {
    leave()
  }
  return page
}
