/** Takes back what was to be called. Safe to call late and twice. */
export type Cancel = () => void

/** Time, so that a run can be replayed: the system's in production, a simulated one in tests. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls once, after so many ms. */
  after(ms: number, run: () => void): Cancel
  /** Calls again and again, every so many ms. */
  every(ms: number, run: () => void): Cancel
  /** Lets whatever else has come meanwhile have its turn. */
  turn(): Promise<void>
}

/** The time of this machine. */
export const systemClock: Clock = {
  now: Date.now,
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  every(ms, run) {
    const timer = setInterval(run, ms)
    return () => clearInterval(timer)
  },
  turn: () => new Promise((resolve) => setImmediate(resolve)),
}

let lastTime = { ms: Number.NaN, text: '' }

/** Writes a moment in RFC 3339. Whatever comes in one batch comes in one millisecond, so the last answer is often this one. */
export function formatTime(ms: number): string {
  if (ms !== lastTime.ms) lastTime = { ms, text: new Date(ms).toISOString() }
  return lastTime.text
}

/** Waits so many ms, or until the signal aborts. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const finish = () => {
      cancel()
      signal?.removeEventListener('abort', finish)
      resolve()
    }
    const cancel = clock.after(ms, finish)
    signal?.addEventListener('abort', finish, { once: true })
  })
}
