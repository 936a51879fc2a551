/**
 * Turns single calls into calls for many: while one flush is under way, what is asked for gathers for the next. Under load
 * this makes one round trip of hundreds, and when idle it delays nothing.
 * @param flush answers one result per item, in order.
 * @param options.largest items in one flush.
 * @param options.pause ms that lie at least between the beginnings of two flushes: fewer of them cost less.
 */
export function createBatcher<T, R>(
  flush: (items: readonly T[]) => Promise<readonly R[]>,
  { largest, pause = 0 }: { largest: number; pause?: number },
): (item: T) => Promise<R> {
  let waiting: { item: T; resolve(result: R): void; reject(error: unknown): void }[] = []
  let isFlushing = false
  let flushedAt = Number.NEGATIVE_INFINITY

  const schedule = () => {
    isFlushing = true
    const wait = flushedAt + pause - performance.now()
    // What comes in the same turn of the event loop goes along.
    if (wait >= 1 && waiting.length < largest) setTimeout(drain, wait)
    else setImmediate(drain)
  }
  const drain = async () => {
    const batch = waiting.slice(0, largest)
    waiting = waiting.slice(largest)
    flushedAt = performance.now()
    try {
      const results = await flush(batch.map(({ item }) => item))
      for (const [n, { resolve }] of batch.entries()) resolve(results[n] as R)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
    if (waiting.length > 0) schedule()
    else isFlushing = false
  }

  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      if (!isFlushing) schedule()
    })
}
