/** Keeps what a process works on at a time small while all of it waits for the processor: what is less is done faster. */
export interface Crowd {
  /**
   * Waits until there is room for a job.
   * @param size deliveries that it carries.
   * @returns what the job calls when it is done.
   */
  enter(size: number): Promise<() => void>
}

export interface CrowdOptions {
  /** Deliveries at a time; a job that carries more enters alone. */
  most: number
  /** For how many ms in all the process had nothing to do. */
  idle(): number
}

/** Who was inside while the process had nothing to do for so many ms waits for its endpoint, and is in nobody's way. */
const patience = 50
/** How often that is looked at while somebody waits, in ms. */
const lookEvery = 10

/** Creates a crowd, in which a slow endpoint's jobs do not count for long. */
export function createCrowd({ most, idle }: CrowdOptions): Crowd {
  // In the order in which they came.
  const inside = new Set<{ size: number; since: number }>()
  const waiting: { size: number; resolve(leave: () => void): void }[] = []
  let count = 0
  let timer: NodeJS.Timeout | undefined

  const remove = (job: { size: number; since: number }) => {
    if (inside.delete(job)) count -= job.size
  }
  const admit = () => {
    for (let next = waiting[0]; next !== undefined && (count === 0 || count + next.size <= most); next = waiting[0]) {
      const job = { size: next.size, since: idle() }
      inside.add(job)
      count += job.size
      waiting.shift()
      next.resolve(() => {
        remove(job)
        admit()
      })
    }
    if (waiting.length > 0) timer ??= setInterval(look, lookEvery)
  }
  const look = () => {
    const now = idle()
    for (const job of inside) {
      if (now - job.since < patience) break
      remove(job)
    }
    admit()
    if (waiting.length > 0) return
    clearInterval(timer)
    timer = undefined
  }

  return {
    enter: (size) =>
      new Promise((resolve) => {
        waiting.push({ size, resolve })
        admit()
      }),
  }
}
