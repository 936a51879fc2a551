import { type Clock, systemClock } from '../../workers/clock.ts'

/** A clock that runs faster than this machine's, so that a test need not wait for a timeout of half a minute. */
export function createFastClock(factor: number): Clock {
  const start = Date.now()
  return {
    now: () => start + (Date.now() - start) * factor,
    after: (ms, run) => systemClock.after(ms / factor, run),
    every: (ms, run) => systemClock.every(ms / factor, run),
    turn: systemClock.turn,
  }
}
