/** Where time comes from, so that a test can own it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Calls back once, `delay` milliseconds from now; the returned function cancels. */
  after(delay: number, callback: () => void): () => void
}

/** The host's clock. Its timers do not keep the process alive: the listening socket does. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(delay, callback) {
    const timer = setTimeout(callback, Math.min(delay, 2 ** 31 - 1))
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** `metav1.Time`: RFC 3339 in UTC with whole seconds. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** `metav1.MicroTime`: always six fractional digits; `micros` (0–999) supplies the last three. */
export function microTimestamp(ms: number, micros: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}${String(micros).padStart(3, '0')}Z`
}
