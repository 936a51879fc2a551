/** Remembers the newest things of about so many bytes. */
export interface Cache<V> {
  get(name: string): V | undefined
  set(name: string, value: V): void
}

/** Creates a cache that forgets the oldest first. */
export function createCache<V extends { readonly length: number }>(mostBytes: number): Cache<V> {
  const known = new Map<string, V>()
  let bytes = 0
  return {
    get: (name) => known.get(name),
    set(name, value) {
      bytes += value.length - (known.get(name)?.length ?? 0)
      known.set(name, value)
      for (const [oldest, { length }] of known) {
        if (bytes <= mostBytes) break
        known.delete(oldest)
        bytes -= length
      }
    },
  }
}
