/** When the jobs of one webhook that find no lane are to come back. */
export interface Booking {
  /**
   * Books the next free time.
   * @param span how long until one more of the jobs before it is done, in ms.
   * @returns ms from now.
   */
  next(span: number): number
}

const shortestWait = 20
/** Nobody comes back later than that, since the endpoint may be well by then, */
const standardWait = 30_000
/** unless so many jobs wait that their coming and going alone would be a burden. */
const longestWait = 600_000
/** Jobs of one webhook that may come in vain, a second. */
const mostReturns = 50
const period = 5000

/** Creates it. Jobs are served in the order of their booking while that is soon; those of a long line come back spread out. */
export function createBooking(now: () => number): Booking {
  let bookedUntil = 0
  let cap = standardWait
  let begun = now()
  let count = 0

  const adapt = (time: number) => {
    const rate = (count / (time - begun)) * 1000
    if (rate > mostReturns) cap = Math.min((cap * rate) / mostReturns, longestWait)
    else if (rate < mostReturns / 4) cap = Math.max(cap / 2, standardWait)
    begun = time
    count = 0
  }
  return {
    next(span) {
      const time = now()
      if (time - begun >= period) adapt(time)
      count++
      bookedUntil = Math.max(bookedUntil, time) + span
      if (bookedUntil <= time + cap) return Math.max(shortestWait, Math.round(bookedUntil - time))
      bookedUntil = time + cap
      // In steps of the golden ratio, which never meet.
      return Math.round(cap * (0.5 + ((count * 0.618034) % 1) / 2))
    },
  }
}
