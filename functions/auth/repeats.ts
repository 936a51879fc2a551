/** When a review is repeated, in ms: authorizers of a cluster hear of a change a little later than its watchers. */
const delays = [0, 500, 1_500, 3_000]
/** How far reviews are apart at least, in ms: a cluster whose bindings change all the time is not asked all the time. */
const apart = 500

/** Reviews after a change, several times. */
export interface Repeats {
  /** Something changed: reviews at once, and again until the last authorizer must have heard of it. */
  begin(): void
  stop(): void
}

/** Creates the schedule of a review. Changes that come together share their reviews. */
export function createRepeats(review: () => void): Repeats {
  const planned = new Map<number, ReturnType<typeof setTimeout>>()
  let reviewedAt = Number.NEGATIVE_INFINITY
  const plan = (at: number): void => {
    const slot = Math.ceil(at / apart)
    if (planned.has(slot)) return
    const run = () => {
      planned.delete(slot)
      const now = performance.now()
      // Another one was in between, or this one is late.
      if (now - reviewedAt < apart) return plan(reviewedAt + apart)
      reviewedAt = now
      review()
    }
    planned.set(slot, setTimeout(run, slot * apart - performance.now()))
  }
  return {
    begin() {
      const now = performance.now()
      const isRested = now - reviewedAt >= apart
      if (isRested) {
        reviewedAt = now
        review()
      }
      for (const delay of isRested ? delays.slice(1) : delays) plan(now + delay)
    },
    stop() {
      for (const timer of planned.values()) clearTimeout(timer)
      planned.clear()
    },
  }
}
