import type { Clock } from '../clock.ts'
import type { Sink } from '../reflector/reflector.ts'

/** How a feed is doing, in numbers (R75). Ages are in seconds, absent for what never happened. */
export interface FeedVitals {
  /** Since the last change that the watch told. */
  eventAge?: number
  /** Since the last bookmark. */
  bookmarkAge?: number
  /** Since the stored cursor last moved. */
  cursorAge?: number
  /** Snapshots that were taken under this claim. */
  relists: number
  /** Gaps that were announced under this claim. */
  gaps: number
  /** How long changes have been waiting to be read or stored, in seconds. */
  lag: number
  /** Set while the lag nears what the API server keeps of its history: beyond that, a gap is certain (R94). */
  alarm?: 'lag'
}

/** Takes the measurements of one feed. */
export interface Vitals {
  /** A sink that does what the given one does, and counts. */
  observe(sink: Sink): Sink
  /** The feed has stored a cursor; `since`: when the oldest change that is not stored yet came, ms. */
  stored(since: number | undefined): void
  /** A change came that is not stored yet. */
  waiting(): void
  /** Whether the watch is in sync with the server. */
  synced(isSynced: boolean): void
  read(): FeedVitals
}

/**
 * An API server keeps the changes of the last 75 s at least, as long as their number allows.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.34.0/staging/src/k8s.io/apiserver/pkg/storage/cacher/watch_cache.go `eventFreshDuration`
 */
const alarmMs = 45_000

/** Creates the measurements of a feed that begins now. */
export function createVitals({ now }: Pick<Clock, 'now'>): Vitals {
  let eventAt: number | undefined
  let bookmarkAt: number | undefined
  let storedAt: number | undefined
  let waitingSince: number | undefined
  let unsyncedSince: number | undefined = now()
  let relists = 0
  let gaps = 0
  const secondsSince = (time: number) => Math.round((now() - time) / 1000)
  const age = (name: 'eventAge' | 'bookmarkAge' | 'cursorAge', time: number | undefined) =>
    time === undefined ? {} : { [name]: secondsSince(time) }
  return {
    observe: (sink) => ({
      ...sink,
      emit(object, gone) {
        eventAt = now()
        sink.emit(object, gone)
      },
      advance(resourceVersion) {
        bookmarkAt = now()
        sink.advance(resourceVersion)
      },
      commit(resourceVersion, gap) {
        relists++
        if (gap !== undefined) gaps++
        sink.commit(resourceVersion, gap)
      },
    }),
    stored(since) {
      storedAt = now()
      waitingSince = since
    },
    waiting() {
      waitingSince ??= now()
    },
    synced(isSynced) {
      unsyncedSince = isSynced ? undefined : (unsyncedSince ?? now())
    },
    read() {
      const since = Math.min(waitingSince ?? now(), unsyncedSince ?? now())
      return {
        ...age('eventAge', eventAt),
        ...age('bookmarkAge', bookmarkAt),
        ...age('cursorAge', storedAt),
        relists,
        gaps,
        lag: secondsSince(since),
        ...(now() - since >= alarmMs ? { alarm: 'lag' } : {}),
      }
    },
  }
}
