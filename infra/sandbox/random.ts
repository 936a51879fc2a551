/** A seeded stream of choices: the same seed gives the same ones in the same order. */
export interface Random {
  /** A number in [0, 1). */
  next(): number
  /** A whole number in [0, bound). */
  below(bound: number): number
  /** One of the items, which must not be empty. */
  pick<T>(items: readonly T[]): T
  /** A version 4 UUID. */
  uuid(): string
  /** `length` characters from the alphabet that `generateName` uses (no vowels, nothing that reads as a word). */
  suffix(length: number): string
}

/** apimachinery `util/rand`: the characters of generated names. */
const nameAlphabet = 'bcdfghjklmnpqrstvwxz2456789'

/** mulberry32: small, fast, and good enough for choices; nothing here is a secret. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (bound: number) => Math.floor(next() * bound)
  const hex = (digits: number) => {
    let out = ''
    for (let i = 0; i < digits; i++) out += below(16).toString(16)
    return out
  }
  return {
    next,
    below,
    pick(items) {
      const item = items[below(items.length)]
      if (item === undefined) throw new RangeError('nothing to pick from')
      return item
    },
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-${'89ab'.charAt(below(4))}${hex(3)}-${hex(12)}`,
    suffix(length) {
      let out = ''
      for (let i = 0; i < length; i++) out += nameAlphabet.charAt(below(nameAlphabet.length))
      return out
    },
  }
}
