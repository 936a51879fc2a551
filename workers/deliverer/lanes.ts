/** One webhook's share of this process, held by one of its jobs. */
export interface Lane {
  /**
   * Makes a request when the webhook has one to spare, and records its outcome. While that is done the next request may be
   * under way, but no more are than keep the recording in sight: those are what a crash repeats.
   */
  run<T>(request: () => Promise<T>, record?: (outcome: T) => Promise<void>): Promise<T>
  leave(): void
}

/** Keeps a slow endpoint from taking the places of the others. */
export interface Lanes {
  /** A lane, or for how long (ms) the job had better be put aside. */
  enter(webhook: string): Lane | { busyFor: number }
}

interface Share {
  jobs: number
  running: number
  recording: number
  waiting: (() => void)[]
  /** How long a job takes, on average, in ms. */
  pace: number
  /** Until when the jobs that were put aside have the lane booked. */
  bookedUntil: number
}

const shortestWait = 20
const longestWait = 30_000

/**
 * Creates lanes.
 * @param width requests under way per webhook.
 * @param depth jobs per webhook that always find a place; more are put aside, each until about when its turn comes,
 * @param spare unless no more than this many jobs are under way in all.
 */
export function createLanes(options: { width: number; depth: number; spare: number; now(): number }): Lanes {
  const { width, depth, spare, now } = options
  const shares = new Map<string, Share>()
  let total = 0

  return {
    enter(webhook) {
      const share = shares.get(webhook) ?? {
        jobs: 0,
        running: 0,
        recording: 0,
        waiting: [],
        pace: 0,
        bookedUntil: 0,
      }
      if (share.jobs >= depth && total >= spare) {
        share.bookedUntil = Math.min(Math.max(share.bookedUntil, now()) + share.pace / share.jobs, now() + longestWait)
        return { busyFor: Math.max(shortestWait, Math.round(share.bookedUntil - now())) }
      }
      shares.set(webhook, share)
      share.jobs++
      total++
      const enteredAt = now()
      return {
        async run(request, record) {
          if (share.running >= width) await new Promise<void>((resolve) => share.waiting.push(resolve))
          else share.running++
          let holds = true
          try {
            const outcome = await request()
            if (record === undefined) return outcome
            holds = share.recording >= width
            if (!holds) yieldPlace(share)
            share.recording++
            await record(outcome).finally(() => share.recording--)
            return outcome
          } finally {
            if (holds) yieldPlace(share)
          }
        },
        leave() {
          share.pace = share.pace * 0.8 + (now() - enteredAt) * 0.2
          share.jobs--
          total--
          if (share.jobs === 0) shares.delete(webhook)
        },
      }
    },
  }
}

/** The place goes to the next in line, or becomes free. */
function yieldPlace(share: Share): void {
  const next = share.waiting.shift()
  if (next === undefined) share.running--
  else next()
}
