import { RelayError } from '../errors.ts'
import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import { deliveryStates } from './delivery.ts'
import { createWebhookKeys } from './keys.ts'
import { putScript, removeScript } from './scripts.ts'
import type { Webhook } from './webhook.ts'

/** Keeps the records of all webhooks. */
export interface WebhookStore {
  /** Grows with every change, by whoever made it. */
  version(): Promise<number>
  /** Stored texts by id: equal text means equal record, so that a reader need not parse what it knows. */
  texts(): Promise<Record<string, string>>
  /** All records, oldest first. */
  all(): Promise<Webhook[]>
  get(id: string): Promise<Webhook | undefined>
  /** @throws RelayError `conflict` when there is one with this id. */
  create(webhook: Webhook): Promise<void>
  /** Changes a record atomically; `change` may run again when another change came first. Undefined: no such webhook. */
  update(id: string, change: (current: Webhook) => Webhook): Promise<Webhook | undefined>
  /** Removes a webhook with its deliveries. False: no such webhook. */
  remove(id: string): Promise<boolean>
}

const keepCounts = 7 * 24 * 3600
const maxTries = 20

/** Creates the store of one cluster's webhooks. */
export function createWebhookStore(redis: RedisClient, clusterKeys: Keys): WebhookStore {
  const keys = createWebhookKeys(clusterKeys)
  const put = async (id: string, expected: string, record: string) =>
    (await putScript.run(redis, [keys.webhooks, keys.version], [id, expected, record])) === 1
  const text = async (id: string) => {
    const stored = await redis.call('HGET', keys.webhooks, id)
    return typeof stored === 'string' ? stored : undefined
  }

  return {
    async version() {
      return Number((await redis.call('GET', keys.version)) ?? 0)
    },
    async texts() {
      return toRecord(await redis.call('HGETALL', keys.webhooks))
    },
    async all() {
      const webhooks = Object.values(await this.texts()).map(parseWebhook)
      return webhooks.sort((a, b) => (a.id < b.id ? -1 : 1))
    },
    async get(id) {
      const stored = await text(id)
      return stored === undefined ? undefined : parseWebhook(stored)
    },
    async create(webhook) {
      if (!(await put(webhook.id, '', JSON.stringify(webhook)))) {
        throw new RelayError('conflict', `There is a webhook ${webhook.id} already.`)
      }
    },
    async update(id, change) {
      for (let tries = 0; tries < maxTries; tries++) {
        const stored = await text(id)
        if (stored === undefined) return undefined
        const changed = change(parseWebhook(stored))
        if (await put(id, stored, JSON.stringify(changed))) return changed
      }
      throw new RelayError('conflict', `Webhook ${id} is being changed by others; try again.`)
    },
    async remove(id) {
      const { records, counts, states } = keys.ledger(id)
      const touched = [keys.webhooks, keys.version, keys.dispatch, records, counts]
      for (const state of deliveryStates) touched.push(states[state])
      return (await removeScript.run(redis, touched, [id, keepCounts])) === 1
    },
  }
}

/** Reads a stored record. */
export function parseWebhook(text: string): Webhook {
  return JSON.parse(text) as Webhook
}
