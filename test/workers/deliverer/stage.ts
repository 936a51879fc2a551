import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import type { RelayEvent } from '../../../shared/event.ts'
import { createKeys, type Keys } from '../../../shared/keys.ts'
import { createLogReader } from '../../../shared/log/reader.ts'
import { createLogWriter, type Operation } from '../../../shared/log/writer.ts'
import { formatPosition } from '../../../shared/position.ts'
import type { Logger, Running } from '../../../shared/role.ts'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import { createLedger, type Ledger } from '../../../shared/webhook/ledger.ts'
import { createSecret, createSecretBox } from '../../../shared/webhook/secret.ts'
import { createWebhookStore, type WebhookStore } from '../../../shared/webhook/store.ts'
import { createWebhookId, type Webhook } from '../../../shared/webhook/webhook.ts'
import { type DelivererOptions, startDeliverer } from '../../../workers/deliverer/deliverer.ts'
import { createDeliveryQueue } from '../../../workers/deliverer/queue.ts'
import { startDispatcher } from '../../../workers/dispatcher/dispatcher.ts'

export const encryptionKey = 'a key for tests'

/** One cluster in a real Redis, and what it takes to write events, register webhooks and deliver. */
export interface Stage {
  url: string
  cluster: string
  keys: Keys
  redis: Redis
  store: WebhookStore
  ledger: Ledger
  /** What was logged, as `level message`. */
  lines: string[]
  append(...events: RelayEvent[]): Promise<void>
  /** Appends changes as a watcher does: each with the object as it is after it. */
  change(...events: RelayEvent[]): Promise<void>
  /** Puts objects into the known set, of which the log says nothing: they were there before. */
  know(...events: RelayEvent[]): Promise<void>
  register(url: string, more?: Partial<Webhook>): Promise<Webhook & { secret: string }>
  dispatcher(options?: { leaseMs?: number }): Running
  deliverer(options?: Partial<DelivererOptions>): Running
  /** Stops what was started, newest first. */
  close(): Promise<void>
}

/** Creates a cluster of its own name, so that one Redis serves a whole test file. */
export async function createStage(url: string, cluster = `t-${randomUUID().slice(0, 8)}`): Promise<Stage> {
  const keys = createKeys(cluster)
  const connections: Redis[] = []
  const connect = () => {
    const redis = new Redis(url, { maxRetriesPerRequest: null })
    redis.on('error', () => undefined)
    connections.push(redis)
    return redis
  }
  const redis = connect()
  const lines: string[] = []
  const log = createLog(lines)
  const box = createSecretBox(encryptionKey)
  const store = createWebhookStore(redis, keys)
  const writer = createLogWriter({ redis, keys, feed: 'pods', resource: 'pods', keepEntries: 100_000 })
  const running: Running[] = []
  const keep = (started: Running) => {
    running.push(started)
    return started
  }
  const operate = async (operations: Operation[]) => {
    const claim = await writer.claim('stage', 60_000)
    if (claim.held) throw new Error('the feed is held')
    const answer = await writer.append({
      fence: claim.fence,
      epoch: claim.epoch,
      batch: claim.batch + 1,
      seen: claim.seq,
      resourceVersion: '1',
      note: '',
      operations,
    })
    if (answer.outcome !== 'ok') throw new Error(answer.outcome)
  }
  return {
    url,
    cluster,
    keys,
    redis,
    store,
    ledger: createLedger(redis, keys),
    lines,
    append: (...events) => operate(events.map(tell)),
    change: (...events) => operate(events.flatMap((event) => [tell(event), know(event)])),
    know: (...events) => operate(events.map(know)),
    async register(target, more = {}) {
      const bounds = await createLogReader(redis, keys).bounds()
      const id = createWebhookId(Date.now())
      const secret = createSecret()
      const webhook: Webhook = {
        id,
        url: target,
        filter: {},
        enabled: true,
        createdAt: new Date().toISOString(),
        start: formatPosition({ epoch: bounds.epoch, seq: bounds.last }),
        secrets: [{ sealed: await box.seal(secret, id) }],
        ...more,
      }
      await store.create(webhook)
      return { ...webhook, secret }
    },
    dispatcher({ leaseMs = 1000 } = {}) {
      const queue = createDeliveryQueue(connect(), keys, () => undefined)
      const deps = {
        redis: connect(),
        tail: connect(),
        keys,
        cluster,
        log,
        enqueue: queue.enqueue,
        leaseMs,
        now: Date.now,
      }
      return keep(startDispatcher({ ...deps, owner: randomUUID() }))
    },
    deliverer(options = {}) {
      const queue = createDeliveryQueue(connect(), keys, () => undefined)
      const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
      const deps = {
        redis: connect(),
        jobs: connect(),
        keys,
        queue,
        log,
        box,
        policy,
        userAgent: 'kube-watch-relay/test',
      }
      return keep(startDeliverer({ ...deps, options }))
    },
    async close() {
      for (const started of running.reverse()) await started.stop()
      for (const connection of connections) connection.disconnect()
    },
  }
}

const tell = (event: RelayEvent): Operation => ({ op: 'event', json: JSON.stringify(event) })

function know({ type, data }: RelayEvent): Operation {
  const { changes: _, ...object } = data
  const key = `${data.namespace}/${data.name}`
  return type.endsWith('.deleted') ? { op: 'delete', key } : { op: 'set', key, record: JSON.stringify(object) }
}

let number = 0

/** A Pod's event, different each time. */
export function podEvent(name: string, phase = 'Running'): RelayEvent {
  const resourceVersion = String(++number)
  return {
    specversion: '1.0',
    id: `test/${name}-uid/${resourceVersion}`,
    source: '/clusters/test/api/v1/namespaces/shop/pods',
    type: 'k8s.pod.modified',
    subject: `shop/${name}`,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: { namespace: 'shop', name, uid: `${name}-uid`, resourceVersion, labels: {}, phase, changes: [] },
  }
}

/** Polls until something holds. */
export async function until<T>(what: () => Promise<T | undefined | false>, ms = 15_000): Promise<T> {
  const deadline = Date.now() + ms
  for (;;) {
    const found = await what()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline) throw new Error(`did not happen within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function createLog(lines: string[]): Logger {
  const write = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`)
  }
  const log: Logger = {
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: () => log,
  }
  return log
}
