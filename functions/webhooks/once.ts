import { RelayError } from '../../shared/errors.ts'
import { createWebhookId } from '../../shared/webhook/webhook.ts'
import type { WebhookContext } from './context.ts'

const keepSeconds = 24 * 3600

/**
 * Creates what gives a request to register its webhook's id: a new one, or with a key that was used before, the same again.
 * The id is kept before the webhook is, so that a request which broke off in between is completed by its repetition.
 */
export function createOnce({ redis, keys, now }: Pick<WebhookContext, 'redis' | 'keys' | 'now'>) {
  /**
   * @param caller keys of different callers have nothing to do with each other: the answer holds a secret.
   * @throws RelayError `conflict` when the key came with another request.
   */
  return async (key: string | undefined, caller: string | undefined, input: object): Promise<string> => {
    const id = createWebhookId(now().getTime())
    if (key === undefined) return id
    const place = keys.own('webhooks', 'once', await digest(`${caller ?? ''}\n${key}`))
    const request = await digest(JSON.stringify(input))
    const answer = await redis.call('SET', place, `${id} ${request}`, 'NX', 'EX', keepSeconds)
    if (answer !== null) return id
    const [first = id, before] = String(await redis.call('GET', place)).split(' ')
    if (before === request) return first
    throw new RelayError('conflict', 'Idempotency-Key: it was used for another request; take a new one.', {
      field: 'Idempotency-Key',
    })
  }
}

async function digest(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).toHex()
}
