import type { Filter } from '../filter/filter.ts'

/** A secret as it is stored: encrypted, and until when it still signs (ms since 1970; absent: for good). */
export interface StoredSecret {
  sealed: string
  until?: number
}

/** Why the relay itself turned an endpoint off: `gone` it answered 410. */
export type DisabledReason = 'gone'

/** An endpoint and what it wants, as the record in Redis holds it. */
export interface Webhook {
  id: string
  url: string
  filter: Filter
  description?: string
  enabled: boolean
  disabledReason?: DisabledReason
  /** RFC 3339. */
  createdAt: string
  /** Cursor: events after it are this webhook's. */
  start: string
  /** Each attempt is signed with all that are valid, the newest first. */
  secrets: StoredSecret[]
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
