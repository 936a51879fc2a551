import { createToken, hashText } from '../../shared/api-key.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Keys } from '../../shared/keys.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { createSecretBox } from '../../shared/webhook/secret.ts'

/** How long a login holds at most, in ms. */
export const loginMs = 12 * 3_600_000
/** How many one tenant may begin within an hour: each is kept until it ends. */
export const hourlyLogins = 300

/** A browser's login, as its cookie leads to it. */
export interface Login {
  readonly id: string
  /** What was logged in with. */
  readonly credential: string
  /** In ms since 1970. */
  readonly until: number
}

/** Lets a browser send a cookie where a script would send its credential. */
export interface Logins {
  /**
   * Keeps a credential until a time (ms since 1970). The answer is what the cookie holds, told this once.
   * @throws RelayError `too_many` when the tenant has begun too many.
   */
  open(tenant: string, credential: string, until: number): Promise<string>
  find(cookie: string): Promise<Login | undefined>
  close(id: string): Promise<void>
  /** Which of some logins are over. */
  findEnded(ids: readonly string[]): Promise<readonly string[]>
}

const shape = /^[A-Za-z0-9_-]{43}$/

/**
 * Creates the logins of one cluster. Redis holds each under the hash of its cookie, and the credential encrypted under the
 * cookie itself: who reads Redis can use neither.
 */
export function createLogins(redis: RedisClient, keys: Keys, now: () => Date): Logins {
  const place = (id: string) => keys.own('login', id)
  const exist = async (ids: readonly string[]) => Number(await redis.call('EXISTS', ...ids.map(place)))
  return {
    async open(tenant, credential, until) {
      const hour = Math.floor(now().getTime() / 3_600_000)
      const counter = keys.own('logins', String(hour), await hashText(tenant))
      const count = Number(await redis.call('INCR', counter))
      await redis.call('EXPIRE', counter, 7200)
      if (count > hourlyLogins) {
        throw new RelayError('too_many', `At most ${hourlyLogins} logins an hour.`, { retryAfter: 600 })
      }
      const cookie = createToken()
      const id = await hashText(cookie)
      const sealed = await createSecretBox(cookie).seal(credential, id)
      await redis.call('SET', place(id), JSON.stringify({ until, sealed }), 'PXAT', until)
      return cookie
    },
    async find(cookie) {
      if (!shape.test(cookie)) return undefined
      const id = await hashText(cookie)
      const stored = await redis.call('GET', place(id))
      if (typeof stored !== 'string') return undefined
      const { until, sealed } = JSON.parse(stored) as { until: number; sealed: string }
      return { id, until, credential: await createSecretBox(cookie).open(sealed, id) }
    },
    async close(id) {
      await redis.call('DEL', place(id))
    },
    async findEnded(ids) {
      if (ids.length === 0 || (await exist(ids)) === ids.length) return []
      const counts = await Promise.all(ids.map((id) => exist([id])))
      return ids.filter((_, i) => counts[i] === 0)
    },
  }
}
