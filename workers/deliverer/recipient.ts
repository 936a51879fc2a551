import { RelayError } from '../../shared/errors.ts'
import type { AddressPolicy } from '../../shared/webhook/address.ts'
import type { AttemptError } from '../../shared/webhook/delivery.ts'
import type { SecretBox } from '../../shared/webhook/secret.ts'
import { parseWebhook } from '../../shared/webhook/store.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import { createSigner, type Signer } from './signature.ts'

/** A webhook, ready to be sent to; or why nothing can be. */
export interface Recipient {
  webhook: Webhook
  /** The webhook's own, decrypted. */
  headers: Record<string, string>
  target:
    | { origin: string; path: string; signers: { sign: Signer; until: number }[] }
    | { error: AttemptError; detail: string }
}

const mostKnown = 10_000

/** Creates a reader of webhooks' records that checks and decrypts each once per change. */
export function createRecipients(
  box: SecretBox,
  policy: AddressPolicy,
): (id: string, text: string) => Promise<Recipient> {
  const known = new Map<string, { text: string; recipient: Promise<Recipient> }>()
  return (id, text) => {
    const before = known.get(id)
    if (before?.text === text) return before.recipient
    if (known.size >= mostKnown) known.clear()
    const recipient = prepare(text, box, policy)
    known.set(id, { text, recipient })
    return recipient
  }
}

async function prepare(text: string, box: SecretBox, policy: AddressPolicy): Promise<Recipient> {
  const webhook = parseWebhook(text)
  try {
    const url = policy.checkUrl(webhook.url)
    const signers = webhook.secrets.map(async ({ sealed, until = Number.POSITIVE_INFINITY }) => ({
      sign: createSigner(await box.open(sealed, webhook.id)),
      until,
    }))
    const headers = Object.entries(webhook.headers ?? {}).map(async ([name, sealed]) => {
      return [name, await box.open(sealed, webhook.id)] as const
    })
    const { origin, pathname, search } = url
    const target = { origin, path: pathname + search, signers: await Promise.all(signers) }
    return { webhook, headers: Object.fromEntries(await Promise.all(headers)), target }
  } catch (error) {
    // The URL was allowed when it was given, and the secret could be read: configuration has changed since.
    const target =
      error instanceof RelayError
        ? { error: 'refused-address' as const, detail: error.message }
        : { error: 'secret' as const, detail: 'the secret cannot be decrypted: WEBHOOK_SECRET_KEY is not what it was' }
    return { webhook, headers: {}, target }
  }
}
