/** Chance from a seed: the same seed, the same run as far as the machine allows. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** A whole number in [0, sides). */
  dice(sides: number): number
  pick<T>(choices: readonly [T, ...T[]]): T
}

/** Creates a generator (mulberry32). */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const dice = (sides: number) => Math.floor(next() * sides)
  return { next, dice, pick: (choices) => choices[dice(choices.length)] ?? choices[0] }
}
