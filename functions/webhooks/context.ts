import { invalid, RelayError } from '../../shared/errors.ts'
import { type Filter, parseFilter } from '../../shared/filter/filter.ts'
import type { Keys } from '../../shared/keys.ts'
import { createLogReader, type LogReader } from '../../shared/log/reader.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { WatchedResource } from '../../shared/resource.ts'
import type { AddressPolicy } from '../../shared/webhook/address.ts'
import { createHealthStore, type HealthStore } from '../../shared/webhook/health.ts'
import { createLedger, type Ledger } from '../../shared/webhook/ledger.ts'
import { createLossReader, type LossReader } from '../../shared/webhook/loss.ts'
import { createSecretBox, type SecretBox } from '../../shared/webhook/secret.ts'
import { createWebhookStore, type WebhookStore } from '../../shared/webhook/store.ts'
import { createTaskStore, type TaskStore } from '../../shared/webhook/task.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import { requireWatched } from '../resources.ts'
import { viewWebhook } from './view.ts'

export interface WebhookRouteDeps {
  redis: RedisClient
  keys: Keys
  /** The key under which secrets are encrypted: the same one that delivers. */
  encryptionKey: Uint8Array | string
  policy: AddressPolicy
  /** What is watched, and so what can be asked for. */
  resources: readonly WatchedResource[]
  now?: () => Date
}

/** What the routes of webhooks share. */
export interface WebhookContext {
  redis: RedisClient
  keys: Keys
  policy: AddressPolicy
  resources: readonly WatchedResource[]
  box: SecretBox
  reader: LogReader
  store: WebhookStore
  ledger: Ledger
  health: HealthStore
  losses: LossReader
  tasks: TaskStore
  now(): Date
  /** @throws RelayError `invalid` for a filter that is none, or asks for what is not watched. */
  readFilter(input: Record<string, unknown>): Filter
  /** @throws RelayError `not_found`. */
  find(id: string): Promise<Webhook>
  /** What its owner may see of it, and how it does. */
  view(webhook: Webhook): ReturnType<typeof viewWebhook>
}

/** Creates it; nothing is read before the first request. */
export function createWebhookContext(deps: WebhookRouteDeps): WebhookContext {
  const { redis, keys, policy, resources, now = () => new Date() } = deps
  const store = createWebhookStore(redis, keys)
  const reader = createLogReader(redis, keys)
  const health = createHealthStore(redis, keys)
  const losses = createLossReader(redis, keys)
  return {
    redis,
    keys,
    policy,
    resources,
    box: createSecretBox(deps.encryptionKey),
    reader,
    store,
    ledger: createLedger(redis, keys),
    health,
    losses,
    tasks: createTaskStore(redis, keys),
    now,
    readFilter(input) {
      const filter = parseFilter(input, 'filter.')
      requireWatched(filter, resources, 'filter.')
      return filter
    },
    async find(id) {
      const found = await store.get(id)
      if (found === undefined) throw missing(id)
      return found
    },
    async view(webhook) {
      const { id } = webhook
      const [conditions, lost] = await Promise.all([health.all(), losses.of([id])])
      return viewWebhook(reader, webhook, { health: conditions.get(id), loss: lost.get(id) })
    },
  }
}

export function missing(id: string): RelayError {
  return new RelayError('not_found', `There is no webhook ${id}.`)
}

/** Clocks differ by so much, in ms. */
const patience = 60_000

/**
 * Refuses a start that is still to come: what happens before it would be sent all the same.
 * @throws RelayError `invalid`, naming the field.
 */
export function refuseFuture(field: string, from: string, now: Date): void {
  const isTime = /^\d{4}-\d\d-/.test(from)
  if (isTime && Date.parse(from) > now.getTime() + patience) throw invalid(field, 'is in the future; write now')
}
