import { setTimeout as sleep } from 'node:timers/promises'
import { DelayedError, Worker } from 'bullmq'
import type { RedisConnection } from '../../infra/node/connect-redis.ts'
import type { Keys } from '../../shared/keys.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Logger, Running } from '../../shared/role.ts'
import type { AddressPolicy } from '../../shared/webhook/address.ts'
import { createHealthStore } from '../../shared/webhook/health.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import { queueName } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import { countAttempts } from '../../shared/webhook/metrics.ts'
import type { SecretBox } from '../../shared/webhook/secret.ts'
import { createWebhookStore } from '../../shared/webhook/store.ts'
import { type DisabledReason, switchWebhook } from '../../shared/webhook/webhook.ts'
import { createLedgerWork, type Settlement } from '../ledger/work.ts'
import { createBatcher } from './batcher.ts'
import { createContentWriter } from './body.ts'
import { createCache } from './cache.ts'
import { type Resolve, resolveBySystem } from './connect.ts'
import { createCrowd } from './crowd.ts'
import { createEndpointHealth } from './health.ts'
import { createLanes } from './lanes.ts'
import { processJob } from './process.ts'
import type { DeliveryQueue } from './queue.ts'
import { createRecipients } from './recipient.ts'
import { defaultSchedule } from './schedule.ts'
import { createSender } from './send.ts'

export interface DelivererDeps {
  redis: RedisClient
  /** The queue's; it makes a second one from it to block on. */
  jobs: RedisConnection
  keys: Keys
  queue: DeliveryQueue
  log: Logger
  box: SecretBox
  policy: AddressPolicy
  userAgent: string
  options?: Partial<DelivererOptions>
}

export interface DelivererOptions {
  /** Pauses before the attempts, in ms. */
  schedule: readonly number[]
  /** How long an endpoint may take nothing before it is turned off, in ms. */
  disableAfter: number
  /** Total for one attempt, in ms. */
  deadline: number
  /** Jobs that this process has taken, most of which wait. */
  concurrency: number
  /** Requests under way per webhook in this process. */
  width: number
  /** How long a dead worker's jobs stay its own, in ms, and half of that to notice; renewed at half time while it lives. */
  lockDuration: number
  /** How long a stop waits for requests under way, in ms. */
  grace: number
  /** Ended deliveries that are kept, per webhook and end state. */
  keep: number
  resolve: Resolve
  random(): number
  now(): number
  tls: { ca?: string }
  /** Through which all requests go. */
  proxy: URL | undefined
}

const defaults: DelivererOptions = {
  schedule: defaultSchedule,
  disableAfter: 5 * 24 * 3_600_000,
  deadline: 15_000,
  concurrency: 1024,
  width: 20,
  // An ordered line stands still for as long, while a process that is held up for longer makes doubles.
  lockDuration: 10_000,
  grace: 5_000,
  keep: 10_000,
  resolve: resolveBySystem,
  random: Math.random,
  now: Date.now,
  tls: {},
  proxy: undefined,
}

/** Jobs of one webhook that this process works on at a time however busy it is, each of up to 64 deliveries. */
const depth = 2
/** How many bytes of events are kept at hand for the next webhook. */
const eventBytes = 16 * 1024 * 1024
/** Deliveries that this process works on at a time while it is its processor that they wait for. */
const crowdSize = 640
/** How soon the same trouble is told of again, in ms. */
const sayAgainAfter = 30_000
const settling = { largest: 200, pause: 4 }

/** Starts the deliverer: it takes jobs, signs and posts what they refer to, and records what became of it. */
export function startDeliverer(deps: DelivererDeps): Running {
  const { redis, keys, queue, log } = deps
  const options = { ...defaults, ...deps.options }
  const { schedule, disableAfter, random, now, width } = options
  const ledger = createLedgerWork(redis, keys, { keep: options.keep, events: createCache(eventBytes) })
  const store = createWebhookStore(redis, keys)
  const lanes = createLanes({ width, depth, places: options.concurrency, now })
  const crowd = createCrowd({ most: crowdSize, idle: () => performance.eventLoopUtilization().idle })
  const sender = createSender({ ...options, policy: deps.policy })
  let isStopping = false
  const process = {
    ledger,
    load: createBatcher(ledger.load, { largest: 16 }),
    settle: createBatcher(async (groups: readonly (readonly Settlement[])[]) => {
      const all = groups.flat()
      const answers = await ledger.settle(all, countAttempts(all))
      return groups.map(({ length }) => answers.splice(0, length))
    }, settling),
    recipientOf: createRecipients(deps.box, deps.policy),
    sender,
    contents: createContentWriter(createLogReader(redis, keys)),
    health: createEndpointHealth(createHealthStore(redis, keys)),
    async disable(id: string, reason: DisabledReason) {
      await store.update(id, (webhook) => {
        return webhook.enabled ? switchWebhook(webhook, false, { reason, at: now() }) : webhook
      })
      log.warn({ webhook: id, reason }, 'an endpoint was disabled')
    },
    retry: queue.retry,
    userAgent: deps.userAgent,
    schedule,
    disableAfter,
    random,
    now,
  }

  const worker = new Worker<DeliveryJob>(
    queueName,
    async (job, token) => {
      const putAside = async (until: number): Promise<never> => {
        await job.moveToDelayed(until, token)
        throw new DelayedError()
      }
      const lane = await lanes.enter(job.data.webhook, job.data.seqs.length)
      if ('busyFor' in lane) return putAside(Date.now() + lane.busyFor)
      const leave = await crowd.enter(job.data.seqs.length)
      let aside: number | undefined
      try {
        aside = await processJob(process, job.data, job.id ?? '', lane)
      } finally {
        leave()
        lane.leave()
      }
      // Not all at the very moment at which the endpoint has asked to be spoken to again.
      if (aside !== undefined) await putAside(Date.now() + Math.max(20, aside - now()) * (1 + random() / 10))
    },
    {
      connection: deps.jobs,
      prefix: createWebhookKeys(keys).queue,
      concurrency: options.concurrency,
      lockDuration: options.lockDuration,
      stalledInterval: options.lockDuration / 2,
      // A job that stalls met a worker that died. It must be tried again, however many die.
      maxStalledCount: 1_000_000,
      // How soon it looks again after Redis was away; its default of 15 s would be a long silence.
      runRetryDelay: 1000,
    },
  )
  const said = new Map<string, number>()
  worker.on('error', (error) => {
    // A process that was held up has lost all of its jobs at once.
    const kind = error.message.replace(/ job \S+/, '')
    if (performance.now() - (said.get(kind) ?? Number.NEGATIVE_INFINITY) < sayAgainAfter) return
    said.set(kind, performance.now())
    log.warn({ error: error.message }, 'the deliverer has trouble with Redis')
  })
  worker.on('failed', (job, error) => {
    if (!isStopping) log.warn({ job: job?.id, error: error.message }, 'a job failed and will be repeated')
  })

  const stop = async () => {
    const closing = worker.close()
    lanes.close()
    const isCalm = await Promise.race([closing.then(() => true), sleep(options.grace, false, { ref: false })])
    if (!isCalm) {
      // Jobs that are cut off here go back to the queue at once, instead of when their locks run out.
      isStopping = true
      sender.stop(new Error('the deliverer is stopping'))
      await Promise.race([closing, sleep(1000, undefined, { ref: false })])
    }
    await sender.close()
  }
  let stopped: Promise<void> | undefined
  return {
    about: {},
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}
