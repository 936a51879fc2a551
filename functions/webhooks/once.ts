import { RelayError } from '../../shared/errors.ts'
import { createWebhookId } from '../../shared/webhook/webhook.ts'
import type { WebhookContext } from './context.ts'

const keepSeconds = 24 * 3600

/** Gives a request to register its webhook's id: a new one, or with a key that was used before, the same again. */
export interface Once {
  /**
   * The id that this very request got before, if any.
   * @throws RelayError `conflict` when the key came with another request.
   */
  find(): Promise<{ id: string; isDone: boolean } | undefined>
  /** The same; else a new id, kept before the webhook is, so that a request which broke off is completed by its repetition. */
  take(): Promise<string>
  /** Notes that the webhook was there: if it is gone later, it was removed. */
  done(id: string): Promise<void>
}

/**
 * Creates it for one request.
 * @param request.caller keys of different callers have nothing to do with each other: the answer holds a secret.
 */
export function createOnce(
  { redis, keys, now }: Pick<WebhookContext, 'redis' | 'keys' | 'now'>,
  { key, caller = '', input }: { key: string | undefined; caller: string | undefined; input: object },
): Once {
  const find = async () => {
    if (key === undefined) return undefined
    const stored = await redis.call('GET', await placeOf(key))
    if (typeof stored !== 'string') return undefined
    const [id = '', request, end] = stored.split(' ')
    if (request === (await digest(JSON.stringify(input)))) return { id, isDone: end !== undefined }
    throw new RelayError('conflict', 'Idempotency-Key: it was used for another request; take a new one.', {
      field: 'Idempotency-Key',
    })
  }
  const placeOf = async (text: string) => keys.own('webhooks', 'once', await digest(`${caller}\n${text}`))
  return {
    find,
    async take() {
      const id = createWebhookId(now().getTime())
      if (key === undefined) return id
      const value = `${id} ${await digest(JSON.stringify(input))}`
      const answer = await redis.call('SET', await placeOf(key), value, 'NX', 'EX', keepSeconds)
      return answer === null ? ((await find())?.id ?? id) : id
    },
    async done(id) {
      if (key === undefined) return
      const value = `${id} ${await digest(JSON.stringify(input))} done`
      await redis.call('SET', await placeOf(key), value, 'XX', 'KEEPTTL')
    },
  }
}

async function digest(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).toHex()
}
