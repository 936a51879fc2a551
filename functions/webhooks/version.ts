import { blake2s } from '@noble/hashes/blake2.js'
import { RelayError } from '../../shared/errors.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'

/**
 * The `ETag` of a webhook: another one after each change of its record, by whoever made it. How its endpoint does is not part
 * of that.
 */
export function tagOf(webhook: Webhook): string {
  const digest = blake2s(new TextEncoder().encode(JSON.stringify(webhook)), { dkLen: 12 })
  return `"${digest.toHex()}"`
}

/**
 * @param given the header `If-Match`, if there was one.
 * @throws RelayError `changed` when the webhook is not what the caller has seen.
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.if-match
 */
export function requireMatch(given: string | undefined, webhook: Webhook): void {
  if (given === undefined || given.trim() === '*') return
  // Tags hold no commas; a weak one matches nothing here.
  if (given.split(',').some((tag) => tag.trim() === tagOf(webhook))) return
  throw new RelayError('changed', `Webhook ${webhook.id} was changed since; read it again, and decide anew.`, {
    field: 'If-Match',
  })
}
