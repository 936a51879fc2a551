/** Chance from a seed: the same seed draws the same numbers. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** A whole number in [from, to]. */
  int(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  /** A stream of its own, so that what one part draws does not shift what another does. */
  fork(): Random
}

/** Creates a generator (mulberry32: small, fast, good enough to choose faults with). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  return {
    next,
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    chance: (probability) => next() < probability,
    pick<T>(items: readonly T[]): T {
      const item = items[Math.floor(next() * items.length)]
      if (item === undefined) throw new Error('nothing to pick from')
      return item
    },
    fork: () => createRandom(Math.floor(next() * 4_294_967_296)),
  }
}
