import { createHmac, createPrivateKey, createSecretKey, sign } from 'node:crypto'
import { isPrivateKey, secretBytes } from '../../shared/webhook/secret.ts'

/** Signs what is before the body and the body; what comes out goes into the header. */
export type Signer = (head: string, body: string | Uint8Array) => string

/** The beginning of an ed25519 private key in PKCS #8 (RFC 8410), whose 32 bytes follow. */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex')

/**
 * Prepares a secret: HMAC-SHA256 (`v1`) for `whsec_…`, ed25519 (`v1a`) for `whsk_…`.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function createSigner(secret: string): Signer {
  const bytes = secretBytes(secret)
  if (isPrivateKey(secret)) {
    const der = Buffer.concat([pkcs8, bytes.subarray(0, 32)])
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    return (head, body) =>
      `v1a,${sign(null, Buffer.concat([Buffer.from(head), Buffer.from(body)]), key).toString('base64')}`
  }
  const key = createSecretKey(bytes)
  return (head, body) => `v1,${createHmac('sha256', key).update(head).update(body).digest('base64')}`
}

/**
 * The `webhook-signature` header: one signature per key, the newest first.
 * @param timestamp seconds since 1970, as in `webhook-timestamp`.
 */
export function signMessage(
  signers: readonly Signer[],
  id: string,
  timestamp: number,
  body: string | Uint8Array,
): string {
  const head = `${id}.${timestamp}.`
  return signers.map((signer) => signer(head, body)).join(' ')
}
