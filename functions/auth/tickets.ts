import { createToken, hashText } from '../../shared/api-key.ts'
import type { Keys } from '../../shared/keys.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Caller } from './authenticator.ts'

/** How long a ticket may be used, in seconds. */
export const ticketSeconds = 30

/** Lets a browser, which cannot send headers with an EventSource, come once with what a URL may hold. */
export interface Tickets {
  issue(caller: Caller): Promise<string>
  /** The caller that a ticket was given to; each is taken once. */
  redeem(ticket: string): Promise<Caller | undefined>
}

/** Creates the tickets of one cluster. Redis holds their hashes. */
export function createTickets(redis: RedisClient, keys: Keys): Tickets {
  const place = async (ticket: string) => keys.own('ticket', await hashText(ticket))
  return {
    async issue(caller) {
      const ticket = createToken()
      await redis.call('SET', await place(ticket), JSON.stringify(caller), 'EX', ticketSeconds)
      return ticket
    },
    async redeem(ticket) {
      const stored = await redis.call('GETDEL', await place(ticket))
      return typeof stored === 'string' ? (JSON.parse(stored) as Caller) : undefined
    },
  }
}
