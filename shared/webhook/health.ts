import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { createWebhookKeys } from './keys.ts'
import type { Health } from './ledger.ts'
import { failScript, recoverScript } from './scripts.ts'

/** For how long to leave an endpoint alone: so many ms, 0 for not at all, or longer with each time in a row. */
export type Pause = 'auto' | number

/** Keeps how endpoints do, for all processes that deliver. */
export interface HealthStore {
  /** Notes an attempt that began at `at` and has failed `now` (ms since 1970). */
  fail(webhook: string, at: number, now: number, pause: Pause): Promise<Required<Health>>
  /** Forgets all failures: the endpoint took something, or was turned on again. */
  recover(webhook: string): Promise<void>
  /** How each endpoint does that does not work. */
  all(): Promise<Map<string, Health>>
}

/** The first pause of an endpoint that throttles without saying for how long, and the longest, in ms. */
const firstPause = 1000
const longestPause = 60_000

/** Creates the store of one cluster's endpoints. */
export function createHealthStore(redis: RedisClient, clusterKeys: Keys): HealthStore {
  const { health } = createWebhookKeys(clusterKeys)
  return {
    async fail(webhook, at, now, pause) {
      const args = [webhook, at, now, pause, firstPause, longestPause]
      const [since, until] = (await failScript.run(redis, [health], args)) as string[]
      return { failingSince: Number(since), pausedUntil: Number(until) }
    },
    async recover(webhook) {
      await recoverScript.run(redis, [health], [webhook])
    },
    async all() {
      const found = new Map<string, Health>()
      for (const [field, value] of Object.entries(toRecord(await redis.call('HGETALL', health)))) {
        const [kind, id = ''] = field.split(':')
        const name = kind === 'since' ? 'failingSince' : kind === 'until' ? 'pausedUntil' : undefined
        if (name !== undefined) found.set(id, { ...found.get(id), [name]: Number(value) })
      }
      return found
    },
  }
}
