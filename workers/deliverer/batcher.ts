/**
 * Turns single calls into calls for many: while one flush is under way, what is asked for gathers for the next. Under load
 * this makes one round trip of hundreds, and when idle it delays nothing.
 * @param flush answers one result per item, in order.
 */
export function createBatcher<T, R>(
  flush: (items: readonly T[]) => Promise<readonly R[]>,
  largest: number,
): (item: T) => Promise<R> {
  let waiting: { item: T; resolve(result: R): void; reject(error: unknown): void }[] = []
  let isFlushing = false

  const drain = async () => {
    isFlushing = true
    while (waiting.length > 0) {
      const batch = waiting.slice(0, largest)
      waiting = waiting.slice(largest)
      try {
        const results = await flush(batch.map(({ item }) => item))
        for (const [n, { resolve }] of batch.entries()) resolve(results[n] as R)
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    isFlushing = false
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (!isFlushing) void drain()
    })
}
