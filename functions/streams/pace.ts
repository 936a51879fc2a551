/** The longest that writes wait for more, however many readers there are, in ms. */
const longest = 100

/** When a hub writes what came: at once on an idle log; on a busy one not before its readers took what was written last. */
export interface Pace {
  /** How long what is there has to wait, in ms; not above 0 where it need not. */
  rest(): number
  /** Runs what writes to all readers, and learns how long that takes. */
  write(action: () => void): void
}

/**
 * Creates a pace by which writing takes four fifths of the time at most: beyond that, waiting for more to write at once makes
 * everybody's events sooner.
 * @param shortest how long writes wait for more at least, in ms.
 * @param now a clock, in ms.
 */
export function createPace(shortest: number, now = () => performance.now()): Pace {
  let pause = shortest
  let ended = Number.NEGATIVE_INFINITY
  return {
    rest: () => ended + pause - now(),
    write(action) {
      const begin = now()
      action()
      ended = now()
      // Workerd writes only after this turn, and its clock stands still until then.
      setTimeout(() => {
        ended = now()
        pause = Math.max(shortest, Math.min(longest, (ended - begin) / 4))
      }, 0)
    },
  }
}
