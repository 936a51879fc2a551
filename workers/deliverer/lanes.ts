import { type Booking, createBooking } from './booking.ts'

/** One webhook's share of this process, held by one of its jobs. */
export interface Lane {
  /**
   * Makes a request when the webhook has one to spare, and records its outcome. While that is done the next request may be
   * under way, but no more are than keep the recording in sight: those are what a crash repeats.
   */
  run<T>(request: () => Promise<T>, record?: (outcome: T) => Promise<void>): Promise<T>
  leave(): void
}

/** For how long (ms) a job had better be put aside: other jobs of its webhook are before it. */
export interface Busy {
  busyFor: number
}

/** Keeps a slow endpoint from taking the places of the others. */
export interface Lanes {
  /**
   * Waits for a lane, if one is to be free soon.
   * @param size deliveries that the job carries.
   */
  enter(webhook: string, size: number): Promise<Lane | Busy>
  /** Has nobody wait any longer. */
  close(): void
}

export interface LanesOptions {
  /** Requests under way per webhook. */
  width: number
  /** Jobs per webhook that always find a place. */
  depth: number
  /** Jobs that there is room for in all. */
  places: number
  /** ms since 1970. */
  now(): number
}

interface Share {
  /** When each of its jobs got its lane, oldest first. */
  jobs: Set<{ since: number }>
  /** Deliveries that they carry. */
  size: number
  running: number
  recording: number
  /** Requests that wait for one to end. */
  requests: (() => void)[]
  /** Jobs that wait for a lane. */
  queue: { size: number; resolve(entry: Lane | Busy): void }[]
  /** How long a job takes, on average, in ms. */
  pace: number
  /** Of the jobs that were put aside. */
  booking: Booking
}

/** A job whose turn is to come within so many ms waits for it here; any other is put aside until about then. */
const patience = 10_000
/** How often it is looked at again whose turn is still to come within that time, in ms. */
const reviewEvery = 250

/** Creates lanes. More jobs than `depth` have one while there is room, if the webhook would have requests to spare. */
export function createLanes({ width, depth, places, now }: LanesOptions): Lanes {
  const shares = new Map<string, Share>()
  let [working, waiting] = [0, 0]
  let isClosed = false
  let timer: NodeJS.Timeout | undefined

  const hasRoom = ({ jobs, size }: Share) => jobs.size < depth || (size < 2 * width && working < places / 2)
  /** How long until the next job of a webhook is done, by those before it and by how long the present ones take already. */
  const spanOf = ({ jobs, pace }: Share) => {
    const [oldest] = jobs
    return Math.max(pace, oldest === undefined ? 0 : now() - oldest.since) / Math.max(1, jobs.size)
  }
  const canWait = (share: Share, before: number) =>
    !isClosed && working + waiting <= (places * 3) / 4 && before * spanOf(share) < patience
  const putAside = (share: Share): Busy => ({ busyFor: share.booking.next(spanOf(share)) })
  const review = () => {
    for (const share of shares.values()) {
      while (share.queue.length > 0 && !canWait(share, share.queue.length)) {
        waiting--
        share.queue.pop()?.resolve(putAside(share))
      }
    }
    if (waiting === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
  const admit = (webhook: string, share: Share, size: number): Lane => {
    const job = { since: now() }
    share.jobs.add(job)
    share.size += size
    working++
    return {
      run: (request, record) => takeTurn(share, width, request, record),
      leave() {
        share.pace = share.pace * 0.8 + (now() - job.since) * 0.2
        share.jobs.delete(job)
        share.size -= size
        working--
        while (share.queue.length > 0 && hasRoom(share)) {
          const next = share.queue.shift()
          waiting--
          next?.resolve(admit(webhook, share, next.size))
        }
        if (share.jobs.size === 0) shares.delete(webhook)
      },
    }
  }

  return {
    async enter(webhook, size) {
      let share = shares.get(webhook)
      if (share === undefined) {
        share = {
          jobs: new Set(),
          size: 0,
          running: 0,
          recording: 0,
          requests: [],
          queue: [],
          pace: 0,
          booking: createBooking(now),
        }
        shares.set(webhook, share)
      }
      const { queue } = share
      if (queue.length === 0 && hasRoom(share)) return admit(webhook, share, size)
      waiting++
      if (!canWait(share, queue.length + 1)) {
        waiting--
        return putAside(share)
      }
      timer ??= setInterval(review, reviewEvery)
      return new Promise((resolve) => queue.push({ size, resolve }))
    },
    close() {
      isClosed = true
      review()
    },
  }
}

async function takeTurn<T>(
  share: Share,
  width: number,
  request: () => Promise<T>,
  record: ((outcome: T) => Promise<void>) | undefined,
): Promise<T> {
  if (share.running >= width) await new Promise<void>((resolve) => share.requests.push(resolve))
  else share.running++
  let holds = true
  try {
    const outcome = await request()
    if (record === undefined) return outcome
    holds = share.recording >= width
    if (!holds) yieldPlace(share)
    share.recording++
    try {
      await record(outcome)
    } finally {
      share.recording--
    }
    return outcome
  } finally {
    if (holds) yieldPlace(share)
  }
}

/** The place goes to the next in line, or becomes free. */
function yieldPlace(share: Share): void {
  const next = share.requests.shift()
  if (next === undefined) share.running--
  else next()
}
