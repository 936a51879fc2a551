import type { Grant } from '../access.ts'
import type { Filter } from '../filter/filter.ts'
import type { NamedResource } from '../state-event.ts'

/** A secret as it is stored: encrypted, and until when it still signs (ms since 1970; absent: for good). */
export interface StoredSecret {
  sealed: string
  until?: number
  /** Of an ed25519 key, the half that verifies, `whpk_…`; absent: the secret is one of HMAC. */
  publicKey?: string
}

/**
 * Why the relay itself turned an endpoint off: `gone` it answered 410, `failing` it took nothing for days, `forbidden` its
 * owner may no longer see what it is sent.
 */
export const disabledReasons = ['gone', 'failing', 'forbidden'] as const

export type DisabledReason = (typeof disabledReasons)[number]

/**
 * In which order deliveries start: `none`, each at once; `object`, of one object the next only after the one before ended;
 * `latest`, the same, and what waits gives way to the newest state.
 */
export const orderings = ['none', 'object', 'latest'] as const

export type Ordering = (typeof orderings)[number]

/** Who registered a webhook: what it takes to ask again what they may see. Holds no credential. */
export interface Owner {
  tenant: string
  /** What they might see then, where it cannot be asked again. */
  grants?: readonly Grant[]
  /** The way's own by which they are known. */
  proof?: unknown
}

/**
 * How events are put into requests, in CloudEvents' terms: `structured`, one event as JSON; `binary`, its data as the body and
 * all else in headers; `batch`, a JSON list of the events that came together.
 */
export const contents = ['structured', 'binary', 'batch'] as const

export type ContentMode = (typeof contents)[number]

/** An endpoint and what it wants, as the record in Redis holds it. */
export interface Webhook {
  id: string
  url: string
  filter: Filter
  /** Absent where nobody was asked who they are. */
  owner?: Owner
  description?: string
  enabled: boolean
  disabledReason?: DisabledReason
  /** RFC 3339, when it was turned off. */
  disabledAt?: string
  /** Absent: `none`. */
  ordering?: Ordering
  /** Absent: `structured`. */
  content?: ContentMode
  /** Of batches: for how many seconds one may wait for more; absent: not at all. */
  batchSeconds?: number
  /** Pauses before the attempts in ms, the first at once; absent: the standard ones. */
  schedule?: number[]
  /** What of an event's `data` is sent, as dotted paths; absent: all of it. */
  fields?: string[]
  /** Sent with each request beside our own; the values encrypted. */
  headers?: Record<string, string>
  /** RFC 3339. */
  createdAt: string
  /** Cursor: events after it are this webhook's. */
  start: string
  /** The resources whose current objects come before them; absent: it starts with the events. */
  state?: NamedResource[]
  /** Each attempt is signed with all that are valid, the newest first. */
  secrets: StoredSecret[]
}

/**
 * The record, turned on or off; a reason goes with an endpoint that the relay itself turns off.
 * @param because.at ms since 1970.
 */
export function switchWebhook(
  webhook: Webhook,
  enabled: boolean,
  because: { reason?: DisabledReason; at: number },
): Webhook {
  const { disabledReason: _, disabledAt: __, ...rest } = webhook
  if (enabled) return { ...rest, enabled }
  const { reason, at } = because
  const why = reason === undefined ? {} : { disabledReason: reason }
  return { ...rest, enabled, ...why, disabledAt: new Date(at).toISOString() }
}

/**
 * Makes up an id, `wh_` and 19 characters of [0-9a-z]; ids sort in the order of creation.
 * @param now ms since 1970.
 */
export function createWebhookId(now: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10))
  const random = Array.from(bytes, (byte) => (byte % 36).toString(36)).join('')
  return `wh_${now.toString(36).padStart(9, '0')}${random}`
}
