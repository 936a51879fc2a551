import { createToken, hashText } from '../../shared/api-key.ts'
import type { Keys } from '../../shared/keys.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { createSecretBox } from '../../shared/webhook/secret.ts'
import type { Caller } from './authenticator.ts'

/** How long a ticket may be used, in seconds. */
export const ticketSeconds = 30

/** Lets a browser, which cannot send headers with an EventSource, come once with what a URL may hold. */
export interface Tickets {
  issue(caller: Caller): Promise<string>
  /** The caller that a ticket was given to, as of then; each is taken once. */
  redeem(ticket: string): Promise<Caller | undefined>
}

const shape = /^[A-Za-z0-9_-]{43}$/

/**
 * Creates the tickets of one cluster. Redis holds each under its hash, and the caller, who may come with a token of the cluster,
 * encrypted under the ticket itself: who reads Redis can use neither.
 */
export function createTickets(redis: RedisClient, keys: Keys): Tickets {
  const place = (id: string) => keys.own('ticket', id)
  return {
    async issue(caller) {
      const ticket = createToken()
      const id = await hashText(ticket)
      const sealed = await createSecretBox(ticket).seal(JSON.stringify(caller), id)
      await redis.call('SET', place(id), sealed, 'EX', ticketSeconds)
      return ticket
    },
    async redeem(ticket) {
      if (!shape.test(ticket)) return undefined
      const id = await hashText(ticket)
      const sealed = await redis.call('GETDEL', place(id))
      return typeof sealed === 'string'
        ? (JSON.parse(await createSecretBox(ticket).open(sealed, id)) as Caller)
        : undefined
    },
  }
}
