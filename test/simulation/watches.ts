import { type Cluster, type Collection, project } from './cluster.ts'
import type { WatchFault } from './faults.ts'
import type { Pipe } from './pipe.ts'
import type { ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import { frame, kinds, status, withKind } from './wire.ts'

/** What a client asked to watch, and from where. */
export interface WatchRequest {
  gate: ProcessGate
  pipe: Pipe
  collection: Collection
  selector: string | undefined
  /** The last version that was sent, or asked for. */
  sent: number
  /** How far behind the cluster this replica is, ms. */
  lag: number
  timeoutSeconds: number
}

interface Watch extends WatchRequest {
  isPumping: boolean
  /** The frames of late, for duplicates. */
  recent: string[]
}

/** The watches that are open, each told what changes, in order. */
export interface Watches {
  open(request: WatchRequest): void
  /** Hits one that is open, if there is one. */
  hit(fault: WatchFault, which: number): void
  /** The frame of this version cannot be read, so many times. */
  poison(rv: number, times: number): void
  resetAll(): void
  /** Those of a process that is gone. */
  drop(gate: ProcessGate): void
  /** Forgets those that have ended. */
  tidy(): void
  heal(): void
}

const bookmarkMs = 60_000

/** Creates the watches of a server. `count` hears of each fault that hit. */
export function createWatches(deps: {
  cluster: Cluster
  scheduler: Scheduler
  random: Random
  bookmarks: boolean
  count(name: string): void
}): Watches {
  const { cluster, scheduler, random, count } = deps
  const poisoned = new Map<number, number>()
  let watches: Watch[] = []

  cluster.onChange = () => {
    for (const watch of watches) schedulePump(watch)
  }

  function schedulePump(watch: Watch): void {
    if (watch.isPumping || !watch.pipe.isOpen) return
    watch.isPumping = true
    scheduler.after(random.int(1, 30) + watch.lag, () => {
      watch.isPumping = false
      pump(watch)
    })
  }

  function pump(watch: Watch): void {
    if (!watch.pipe.isOpen) return
    const visible = scheduler.now() - watch.lag
    for (const version of cluster.since(watch.collection, watch.sent)) {
      if (version.at > visible) {
        schedulePump(watch)
        return
      }
      watch.sent = version.rv
      const seen = project(version, watch.selector)
      if (seen === undefined) continue
      const times = poisoned.get(version.rv) ?? 0
      if (times > 0) {
        poisoned.set(version.rv, times - 1)
        count('poison')
        watch.pipe.write(random.chance(0.5) ? '{"type":"MODIFIED","object":{"metad\n' : frame('SYNC', seen.object))
        return
      }
      send(watch, frame(seen.type, withKind(watch.collection, seen.object)))
    }
  }

  function send(watch: Watch, text: string): void {
    watch.recent = [...watch.recent.slice(-3), text]
    watch.pipe.write(text)
  }

  /** A bookmark, where everything before it was sent. */
  function bookmark(watch: Watch): void {
    pump(watch)
    const isBehind = watch.isPumping || watch.lag > 0 || watch.sent > cluster.head()
    if (!isBehind && watch.pipe.isOpen && deps.bookmarks) {
      count('bookmark')
      watch.pipe.write(
        frame('BOOKMARK', {
          ...kinds[watch.collection],
          metadata: { resourceVersion: String(Math.max(watch.sent, cluster.head())) },
        }),
      )
    }
  }

  function open(request: WatchRequest): void {
    const { pipe } = request
    const watch: Watch = { ...request, isPumping: false, recent: [] }
    watches.push(watch)
    schedulePump(watch)
    const deadline = request.timeoutSeconds * 1000
    const beat = () =>
      scheduler.after(bookmarkMs, () => {
        if (!pipe.isOpen) return
        bookmark(watch)
        beat()
      })
    beat()
    scheduler.after(deadline - 2000, () => bookmark(watch))
    scheduler.after(deadline, () => pipe.end())
  }

  function hitWatch(watch: Watch, fault: WatchFault): void {
    const { pipe, collection } = watch
    const some = withKind(collection, {
      metadata: { name: 'odd', uid: 'odd', resourceVersion: String(watch.sent + 1) },
    })
    switch (fault) {
      case 'cut':
        pipe.reset()
        break
      case 'close':
        pipe.end()
        break
      case 'cut-frame': {
        const whole = frame('MODIFIED', some)
        pipe.write(whole.slice(0, random.int(1, whole.length - 2)))
        if (random.chance(0.5)) pipe.end()
        else pipe.reset()
        break
      }
      case 'half-open':
        pipe.stall()
        break
      case 'garbage':
        pipe.write('\u0000\u0001<html>\n')
        break
      case 'unknown-type':
        pipe.write(frame('SYNC', some))
        break
      case 'no-version':
        pipe.write(frame('MODIFIED', { metadata: { name: 'odd', uid: 'odd' } }))
        break
      case 'table':
        pipe.write(frame('ADDED', { ...some, kind: 'Table' }))
        break
      case 'expired-frame':
        pipe.write(frame('ERROR', status(410, 'Expired', 'too old resource version')))
        break
      case 'busy-frame':
        pipe.write(frame('ERROR', status(429, 'TooManyRequests')))
        break
      case 'server-error-frame':
        pipe.write(frame('ERROR', status(500, 'InternalError')))
        break
      case 'odd-error-frame':
        pipe.write(frame('ERROR', { hello: 'world' }))
        break
      case 'duplicates':
        pipe.write(watch.recent.join(''))
        break
    }
  }

  return {
    open,
    hit(fault, which) {
      const watch = watches[which % Math.max(1, watches.length)]
      if (watch === undefined) return
      count(fault)
      hitWatch(watch, fault)
    },
    poison(rv, times) {
      poisoned.set(rv, times)
    },
    resetAll() {
      for (const { pipe } of [...watches]) pipe.reset()
    },
    drop(gate) {
      for (const watch of watches.filter((one) => one.gate === gate)) watch.pipe.stall()
      watches = watches.filter((one) => one.gate !== gate)
    },
    tidy() {
      watches = watches.filter(({ pipe }) => pipe.isOpen)
    },
    heal: () => poisoned.clear(),
  }
}
