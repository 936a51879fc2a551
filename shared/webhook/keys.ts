import type { Keys } from '../keys.ts'
import { type DeliveryState, deliveryStates } from './delivery.ts'

/** What Redis keeps of webhooks beside the event log. */
export interface WebhookKeys {
  /** Hash: webhook id to record. */
  webhooks: string
  /** Counter: grows with every change of a record. */
  version: string
  /** Hash: the dispatcher's lease (`owner`, `until`, `fence`), its `position`, and per webhook `at:<id>`, `changed:<id>`, `told:<id>`, `lost:<id>`. */
  dispatch: string
  /** Hash: job id to job, for jobs that are decided and perhaps not yet in the queue. */
  outbox: string
  /** Hash: `since:<webhook id>` of the first failure after the last success, and what an endpoint's throttling is. */
  health: string
  /** Hash: how often which attempt was made, see `metrics.ts`. */
  metrics: string
  /** Hash: id to definition of the tasks that the dispatcher carries out, such as a replay. */
  tasks: string
  /** Prefix of the queue's own keys. */
  queue: string
  /** The ledger of one webhook. */
  ledger(id: string): LedgerKeys
}

export interface LedgerKeys {
  /** Hash: delivery id to record. */
  records: string
  /** Sorted set, all scores 0: what waits in order, see `lineMember`. */
  lines: string
  /** Hash: object to the job that works on its line. */
  locks: string
  /**
   * Hash: object to the log entry that its state included when it was told, for those that changed meanwhile; while a
   * webhook that started with the state catches up.
   */
  told: string
  /** Hash: `accepted`, and each end state, to how many there ever were. */
  counts: string
  /** Sorted set per state: delivery ids by sequence number. */
  states: Readonly<Record<DeliveryState, string>>
}

/** Names the keys of one cluster's webhooks. */
export function createWebhookKeys(keys: Keys): WebhookKeys {
  return {
    webhooks: keys.webhooks,
    version: keys.own('webhooks', 'version'),
    dispatch: keys.own('dispatch'),
    outbox: keys.own('dispatch', 'outbox'),
    health: keys.own('webhooks', 'health'),
    metrics: keys.own('webhooks', 'metrics'),
    tasks: keys.own('webhooks', 'tasks'),
    queue: keys.own('bull'),
    ledger(id) {
      const state = (name: DeliveryState) => keys.own('ledger', id, name)
      return {
        records: keys.own('ledger', id),
        lines: keys.own('ledger', id, 'lines'),
        locks: keys.own('ledger', id, 'locks'),
        told: keys.own('ledger', id, 'told'),
        counts: keys.own('ledger', id, 'counts'),
        states: Object.fromEntries(deliveryStates.map((name) => [name, state(name)])) as Record<DeliveryState, string>,
      }
    },
  }
}
