/** Values by key, of which only those used last are kept. */
export interface Recent<Key, Value> {
  get(key: Key): Value | undefined
  set(key: Key, value: Value): void
  delete(key: Key): void
}

/**
 * Keeps at least the `size` values set last, and at most twice as many: a younger half takes what is set, and becomes the
 * older one when it is full. That is all the order a cache needs, at the price of a plain map.
 */
export function createRecent<Key, Value>(size: number): Recent<Key, Value> {
  let young = new Map<Key, Value>()
  let old = new Map<Key, Value>()
  return {
    get: (key) => young.get(key) ?? old.get(key),
    set(key, value) {
      if (young.size >= size && !young.has(key)) {
        old = young
        young = new Map()
      }
      young.set(key, value)
    },
    delete(key) {
      young.delete(key)
      old.delete(key)
    },
  }
}
