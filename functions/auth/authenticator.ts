import { type Action, everything, type Grant } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Owner } from '../../shared/webhook/webhook.ts'

/** Who makes a request. Plain data: a ticket carries it to another process, encrypted. */
export interface Caller {
  /** Whose webhooks and tickets these are. */
  readonly tenant: string
  readonly actions: readonly Action[]
  /** What may be seen; absent where it is to be asked for each wish. */
  readonly grants?: readonly Grant[]
  /** When the credential ends by itself, in ms since 1970. */
  readonly expiresAt?: number
  /** The login whose cookie it came by. */
  readonly login?: string
  /** The mode's own: what it takes to ask again. */
  readonly proof?: unknown
}

/** What somebody asks to see: lists as filters have them; absent for all. */
export interface Wish {
  readonly resource?: readonly string[]
  readonly namespace?: readonly string[]
}

/** One way to find out who somebody is and what they may see. */
export interface Authenticator {
  /** False: everybody may everything. */
  readonly isNeeded: boolean
  /** @throws RelayError `unauthorized`; `unavailable` when it cannot be found out. */
  identify(token: string | undefined): Promise<Caller>
  /**
   * What of a wish is granted, as of now.
   * @throws RelayError `unauthorized` when the credential no longer holds; `unavailable` when it cannot be found out.
   */
  grant(caller: Caller, wish: Wish): Promise<readonly Grant[]>
  /** Whether the credential still holds; asked again and again while a stream lives. */
  isValid(caller: Caller): Promise<boolean>
  /** Moves on when credentials were taken back; looked at all the time while streams live. */
  version(): Promise<number>
  /** The caller as a webhook may store it: without the credential itself. */
  detach(caller: Caller): Caller
  /** The caller that a webhook is of, as of now and without a credential; undefined: nobody any more. */
  recall(owner: Owner): Promise<Caller | undefined>
  /** Forgets what it remembers of earlier answers. */
  forget(): void
}

const anybody: Caller = { tenant: '', actions: ['read', 'webhooks'], grants: [everything] }

/** For a relay that only its own machine can reach. */
export const trustEverybody: Authenticator = {
  isNeeded: false,
  identify: async () => anybody,
  grant: async () => [everything],
  isValid: async () => true,
  version: async () => 0,
  detach: (caller) => caller,
  recall: async () => anybody,
  forget: () => undefined,
}

/** What is answered to a credential that is not good; why is for nobody to know. */
export function unauthorized(): RelayError {
  return new RelayError('unauthorized', 'The credential is not valid, or no longer.')
}
