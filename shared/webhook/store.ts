import { RelayError } from '../errors.ts'
import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
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
  /** False: there is one with this id, and stays as it is. */
  create(webhook: Webhook): Promise<boolean>
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
  const put = async (id: string, expected: string, record: string, isOther: boolean) => {
    const touched = [keys.webhooks, keys.version, clusterKeys.meta, keys.dispatch]
    return (await putScript.run(redis, touched, [id, expected, record, isOther ? 1 : 0])) === 1
  }
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
    create: (webhook) => put(webhook.id, '', JSON.stringify(webhook), false),
    async update(id, change) {
      for (let tries = 0; tries < maxTries; tries++) {
        const stored = await text(id)
        if (stored === undefined) return undefined
        const current = parseWebhook(stored)
        const changed = change(current)
        const isOther = wants(current) !== wants(changed)
        if (await put(id, stored, JSON.stringify(changed), isOther)) return changed
      }
      throw new RelayError('conflict', `Webhook ${id} is being changed by others; try again.`)
    },
    async remove(id) {
      const { records, counts, lines, locks, told, states } = keys.ledger(id)
      const { pending, ...others } = states
      const touched = [keys.webhooks, keys.version, keys.dispatch, keys.health, counts, pending]
      touched.push(records, lines, locks, told, ...Object.values(others))
      return (await removeScript.run(redis, touched, [id, keepCounts])) === 1
    },
  }
}

/** What decides which events a webhook gets. */
function wants({ filter, enabled }: Webhook): string {
  return JSON.stringify([filter, enabled])
}

/** Reads a stored record. */
export function parseWebhook(text: string): Webhook {
  return JSON.parse(text) as Webhook
}
