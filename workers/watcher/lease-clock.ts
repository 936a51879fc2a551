import type { Clock } from '../clock.ts'

/** How long an object may be silent from now on, in ms; undefined: for ever; `unchanged`: as long as it might before this version. */
export type Lifetime = number | undefined | 'unchanged'

/** Watches over lifetimes: says when an object was not heard of for as long as it may be silent. */
export interface LeaseClock {
  /** Notes the newest version of an object and how long it lives. */
  set(key: string, resourceVersion: string, lifetime: Lifetime): void
  stop(): void
}

const tickMs = 500
/** How long until an expiry that could not be confirmed is tried again. */
const againMs = 2000
const confirmationsAtOnce = 8

/**
 * Creates a clock. An expiry is a claim about something that did not happen, so it is made only while the watch is in
 * sync and after a direct read has confirmed that the version is still the newest: a broken connection must not look like
 * a dead holder.
 */
export function createLeaseClock(deps: {
  isSynced(): boolean
  /** Reads the object from the API server; true when this version is still its newest. */
  confirm(key: string, resourceVersion: string): Promise<boolean>
  expire(key: string, resourceVersion: string): void
  clock: Clock
}): LeaseClock {
  const { isSynced, confirm, expire } = deps
  const { now } = deps.clock
  const deadlines = new Map<string, { at: number; resourceVersion: string }>()
  let confirming = 0

  async function check(key: string, resourceVersion: string): Promise<void> {
    confirming++
    try {
      const isStill = await confirm(key, resourceVersion)
      if (deadlines.get(key)?.resourceVersion !== resourceVersion) return
      if (isStill && isSynced()) {
        deadlines.delete(key)
        expire(key, resourceVersion)
      } else deadlines.set(key, { at: now() + againMs, resourceVersion })
    } finally {
      confirming--
    }
  }

  const cancel = deps.clock.every(tickMs, () => {
    if (!isSynced()) return
    const moment = now()
    for (const [key, deadline] of deadlines) {
      if (confirming >= confirmationsAtOnce) return
      if (deadline.at > moment) continue
      deadline.at = Number.POSITIVE_INFINITY
      void check(key, deadline.resourceVersion)
    }
  })

  return {
    set(key, resourceVersion, lifetime) {
      const before = deadlines.get(key)
      if (lifetime === undefined) deadlines.delete(key)
      else if (lifetime !== 'unchanged') deadlines.set(key, { at: now() + lifetime, resourceVersion })
      else if (before !== undefined) {
        // What is being confirmed is the version before; this one has to be asked about for itself.
        deadlines.set(key, { at: before.at === Number.POSITIVE_INFINITY ? now() : before.at, resourceVersion })
      }
    },
    stop() {
      cancel()
      deadlines.clear()
    },
  }
}
