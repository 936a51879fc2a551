import type { HealthStore, Pause } from '../../shared/webhook/health.ts'
import type { Health } from '../../shared/webhook/ledger.ts'

/** How the endpoints do, as far as this process knows: what one job learns holds for all that are under way. */
export interface EndpointHealth {
  /** Takes over what was read with a job. */
  learn(webhook: string, health: Health): void
  /** Until when the endpoint wants to be left alone, ms since 1970; 0 if it does not. */
  pausedUntil(webhook: string): number
  /** Records an attempt that began at `at` and has failed; answers since when all of them did, ms since 1970. */
  failed(webhook: string, at: number, now: number, pause: Pause): Promise<number>
  /** Whether all attempts failed of late. */
  isFailing(webhook: string): boolean
  /** Records an attempt that succeeded after one that failed. */
  succeeded(webhook: string): Promise<void>
}

/** Creates the memory of one process over the store that all share. */
export function createEndpointHealth(store: HealthStore): EndpointHealth {
  const known = new Map<string, Health>()
  return {
    learn(webhook, health) {
      if (health.failingSince === undefined) known.delete(webhook)
      else known.set(webhook, health)
    },
    pausedUntil: (webhook) => known.get(webhook)?.pausedUntil ?? 0,
    async failed(webhook, at, now, pause) {
      const health = await store.fail(webhook, at, now, pause)
      known.set(webhook, health)
      return health.failingSince
    },
    isFailing: (webhook) => known.has(webhook),
    async succeeded(webhook) {
      if (known.delete(webhook)) await store.recover(webhook)
    },
  }
}
