/** Something that has to be over in time. */
export interface Limited {
  /** Ends it; without a reason, its time is over. */
  end(reason?: Error): void
}

/** Ends what takes too long. */
export interface Deadlines {
  add(entry: Limited): void
  delete(entry: Limited): void
  endAll(reason: Error): void
}

/**
 * Creates deadlines that are all `ms` away: the oldest is the next, so that one timer does for thousands.
 */
export function createDeadlines(ms: number): Deadlines {
  // In the order in which they were added.
  const dueAt = new Map<Limited, number>()
  let timer: NodeJS.Timeout | undefined

  const check = () => {
    timer = undefined
    const now = performance.now()
    for (const [entry, due] of dueAt) {
      if (due > now) {
        timer = setTimeout(check, Math.ceil(due - now))
        return
      }
      dueAt.delete(entry)
      entry.end()
    }
  }

  return {
    add(entry) {
      dueAt.set(entry, performance.now() + ms)
      timer ??= setTimeout(check, ms)
    },
    delete(entry) {
      dueAt.delete(entry)
    },
    endAll(reason) {
      for (const entry of [...dueAt.keys()]) entry.end(reason)
      clearTimeout(timer)
      timer = undefined
    },
  }
}
