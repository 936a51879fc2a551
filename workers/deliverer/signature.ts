import { createHmac } from 'node:crypto'

/**
 * The `webhook-signature` header: one `v1` signature per key, the newest key first.
 * @param timestamp seconds since 1970, as in `webhook-timestamp`.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function signMessage(keys: readonly Uint8Array[], id: string, timestamp: number, body: string): string {
  const content = `${id}.${timestamp}.${body}`
  return keys.map((key) => `v1,${createHmac('sha256', key).update(content).digest('base64')}`).join(' ')
}
