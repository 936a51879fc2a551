import type { Family, Sample } from './exposition.ts'

/** What a watcher says of one collection, as `/readyz` shows it. */
export interface FeedStatus {
  state: string
  at: string
  vitals?: Vitals | undefined
}

interface Vitals {
  eventAge?: number | undefined
  bookmarkAge?: number | undefined
  cursorAge?: number | undefined
  relists: number
  gaps: number
  lag: number
}

const gauges = {
  eventAge: ['relay_feed_event_age_seconds', 'Since the last change of a collection, as of the last report.'],
  bookmarkAge: ['relay_feed_bookmark_age_seconds', 'Since the last bookmark of a collection, as of the last report.'],
  cursorAge: ['relay_feed_cursor_age_seconds', 'Since the stored resourceVersion moved, as of the last report.'],
  lag: ['relay_feed_lag_seconds', 'How long changes wait to be stored.'],
} as const

const counters = {
  relists: ['relay_feed_relists_total', 'Snapshots that were taken since this watcher writes the feed.'],
  gaps: ['relay_feed_gaps_total', 'Gaps that were announced since then.'],
} as const

/** How each watched collection does. */
export function measureFeeds(feeds: Readonly<Record<string, FeedStatus>>, now: number): Family[] {
  const all = Object.entries(feeds)
  const sample = (name: keyof Vitals): Sample[] =>
    all.flatMap(([feed, { vitals }]) => {
      const value = vitals?.[name]
      return value === undefined ? [] : [{ labels: { feed }, value }]
    })
  return [
    {
      name: 'relay_feed_synced',
      type: 'gauge',
      help: 'Whether a watcher says that it has all changes of a collection.',
      samples: all.map(([feed, { state }]) => ({ labels: { feed }, value: state === 'synced' ? 1 : 0 })),
    },
    {
      name: 'relay_feed_report_age_seconds',
      type: 'gauge',
      help: 'Since the watcher of a collection said anything.',
      samples: all.map(([feed, { at }]) => ({ labels: { feed }, value: Math.max(0, now - Date.parse(at)) / 1000 })),
    },
    ...Object.entries(gauges).map(([key, [name, help]]): Family => {
      return { name, help, type: 'gauge', samples: sample(key as keyof typeof gauges) }
    }),
    ...Object.entries(counters).map(([key, [name, help]]): Family => {
      return { name, help, type: 'counter', samples: sample(key as keyof typeof counters) }
    }),
  ]
}
