import type { Clock } from '../../workers/clock.ts'
import type { Scheduler } from './scheduler.ts'

/** The border of a simulated process: everything that happens to it comes through here. */
export interface ProcessGate {
  /** Its own view of the time. */
  clock: Clock
  /** Lets something happen in the process: now, when it goes on after a pause, or never once it was killed. */
  deliver(run: () => void): void
  isDead(): boolean
  /** As SIGSTOP does: nothing happens in it until `resume`. */
  pause(): void
  resume(): void
  /** As SIGKILL does. */
  kill(): void
}

/** Creates the gate of one process. */
export function createProcessGate(scheduler: Scheduler): ProcessGate {
  let isDead = false
  let isPaused = false
  /** What came during a pause, and after it until all of that has happened: nothing may overtake it. */
  let waiting: (() => void)[] = []
  let isCatchingUp = false

  const deliver = (run: () => void) => {
    if (isDead) return
    if (isPaused || isCatchingUp) waiting.push(run)
    else run()
  }

  function catchUp(): void {
    isCatchingUp = !isPaused && waiting.length > 0
    if (!isCatchingUp) return
    scheduler.after(0, () => {
      if (!isPaused) waiting.shift()?.()
      catchUp()
    })
  }
  return {
    clock: {
      now: scheduler.now,
      after(ms, run) {
        let isCancelled = false
        const cancel = scheduler.after(ms, () => deliver(() => isCancelled || run()))
        return () => {
          isCancelled = true
          cancel()
        }
      },
      every(ms, run) {
        let isCancelled = false
        const next = () => {
          scheduler.after(ms, () =>
            deliver(() => {
              if (isCancelled) return
              next()
              run()
            }),
          )
        }
        next()
        return () => {
          isCancelled = true
        }
      },
      turn: () => new Promise((resolve) => scheduler.after(0, () => deliver(resolve))),
    },
    deliver,
    isDead: () => isDead,
    pause() {
      isPaused = true
    },
    resume() {
      isPaused = false
      if (!isCatchingUp) catchUp()
    },
    kill() {
      isDead = true
      waiting = []
    },
  }
}
