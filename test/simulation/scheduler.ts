import type { Cancel } from '../../workers/clock.ts'

interface Entry {
  time: number
  order: number
  run: (() => void) | undefined
}

/** The simulated time: what is to happen, in the order of its moments. */
export interface Scheduler {
  now(): number
  /** Calls after so many ms of simulated time. */
  after(ms: number, run: () => void): Cancel
  /** Lets so many ms pass, or fewer when `isDone` says so; everything that an event sets off is over before the next one. */
  pass(ms: number, isDone?: () => boolean): Promise<void>
}

/** Creates a scheduler; `start` is ms since 1970. */
export function createScheduler(start: number): Scheduler {
  const heap: Entry[] = []
  let now = start
  let orders = 0

  const isBefore = (a: Entry, b: Entry) => a.time < b.time || (a.time === b.time && a.order < b.order)

  function push(entry: Entry): void {
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Entry
      if (!isBefore(entry, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  function pop(): void {
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as Entry)) child++
      if (!isBefore(heap[child] as Entry, last)) break
      heap[at] = heap[child] as Entry
      at = child
    }
    heap[at] = last
  }

  return {
    now: () => now,
    after(ms, run) {
      const entry: Entry = { time: now + Math.max(0, ms), order: orders++, run }
      push(entry)
      return () => {
        entry.run = undefined
      }
    },
    async pass(ms, isDone = () => false) {
      const end = now + ms
      await settle()
      for (let next = heap[0]; next !== undefined && next.time <= end && !isDone(); next = heap[0]) {
        pop()
        if (next.run === undefined) continue
        now = next.time
        next.run()
        await settle()
      }
      if (!isDone()) now = end
    },
  }
}

/** Resolves when all promises and next ticks that can go on have gone on. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
