import type { Keys } from '../keys.ts'
import type { RedisClient } from '../redis.ts'
import { createWebhookKeys } from './keys.ts'

/** What the log dropped before a webhook's filter saw it: whether it would have passed, nobody can say. */
export interface Loss {
  /** How many events, of all times. */
  events: number
  /** The events after this entry, up to that one; those that were seen between two losses are not counted. */
  from: number
  to: number
  /** When it was noticed first and last, ms since 1970. */
  since: number
  latest: number
  /** When the owner was told of it last. */
  toldAt: number
}

/** Reads what webhooks lost. */
export interface LossReader {
  /** Of those that lost something. */
  of(webhooks: readonly string[]): Promise<Map<string, Loss>>
}

/** The field of the dispatcher's hash that holds a webhook's loss. */
export function lossField(webhook: string): string {
  return `lost:${webhook}`
}

export function formatLoss({ events, from, to, since, latest, toldAt }: Loss): string {
  return [events, from, to, since, latest, toldAt].join(' ')
}

export function parseLoss(text: string): Loss {
  const [events = 0, from = 0, to = 0, since = 0, latest = 0, toldAt = 0] = text.split(' ').map(Number)
  return { events, from, to, since, latest, toldAt }
}

/** Creates the reader of one cluster's losses. */
export function createLossReader(redis: RedisClient, clusterKeys: Keys): LossReader {
  const { dispatch } = createWebhookKeys(clusterKeys)
  return {
    async of(webhooks) {
      const found = new Map<string, Loss>()
      if (webhooks.length === 0) return found
      const stored = (await redis.call('HMGET', dispatch, ...webhooks.map(lossField))) as (string | null)[]
      for (const [n, id] of webhooks.entries()) {
        const text = stored[n]
        if (text) found.set(id, parseLoss(text))
      }
      return found
    },
  }
}
