import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkRedis } from '../../infra/node/check-redis.ts'
import { connectRedis } from '../../infra/node/connect-redis.ts'
import { loadSecretKey } from '../../infra/node/secret-key.ts'
import product from '../../package.json' with { type: 'json' }
import type { RoleConfig } from '../../shared/config.ts'
import { createKeys } from '../../shared/keys.ts'
import type { Logger, Running } from '../../shared/role.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { createSecretBox } from '../../shared/webhook/secret.ts'
import { startDeliverer } from '../deliverer/deliverer.ts'
import { createDeliveryQueue } from '../deliverer/queue.ts'
import { startDispatcher } from '../dispatcher/dispatcher.ts'

/** The settings that delivering needs. */
export type DeliverConfig = Pick<
  RoleConfig,
  'redisUrl' | 'cluster' | 'data' | 'webhookAllowCidrs' | 'webhookAllowHttp'
> & {
  /** Where it is not set, the key is kept in a file in the data folder. */
  readonly webhookSecretKey?: string | undefined
  /** How long an endpoint may take nothing before it is turned off, in ms. */
  readonly webhookDisableAfter?: number
  /** Through which all deliveries go. */
  readonly webhookProxy?: string | undefined
  readonly strict?: boolean
}

const leaseMs = 10_000
/** How long a stop waits for what is under way, in ms; shorter where Redis is away, since nothing can be recorded then. */
const patience = { ready: 8000, away: 500 }

/** Starts webhook delivery, dispatcher and deliverer in one process. Does not wait for a Redis that cannot be reached. */
export async function startDeliver(config: DeliverConfig, log: Logger): Promise<Running> {
  const encryptionKey = config.webhookSecretKey ?? (await loadSecretKey(config.data))
  const keys = createKeys(config.cluster)
  const policy = createAddressPolicy({ allowCidrs: config.webhookAllowCidrs, allowHttp: config.webhookAllowHttp })
  const redis = connectRedis(config.redisUrl, { log, name: 'deliver' })
  await checkRedis(redis, { log, strict: config.strict ?? false })
  const tail = connectRedis(config.redisUrl, { log, name: 'dispatch-tail' })
  // The worker blocks for up to 10 s, and watches over its connection itself.
  const jobs = connectRedis(config.redisUrl, { log, name: 'deliver-jobs', silenceMs: 30_000, isQuiet: true })
  const queue = createDeliveryQueue(redis, keys, (error) => log.debug({ error: error.message }, 'queue'))
  const deliverer = startDeliverer({
    redis,
    jobs,
    keys,
    queue,
    policy,
    box: createSecretBox(encryptionKey),
    userAgent: `kube-watch-relay/${product.version}`,
    log: log.child({ part: 'deliverer' }),
    options: {
      ...(config.webhookDisableAfter === undefined ? {} : { disableAfter: config.webhookDisableAfter }),
      ...(config.webhookProxy === undefined ? {} : { proxy: new URL(config.webhookProxy) }),
    },
  })
  const dispatcher = startDispatcher({
    redis,
    tail,
    keys,
    cluster: config.cluster,
    enqueue: queue.enqueue,
    owner: randomUUID(),
    leaseMs,
    now: Date.now,
    log: log.child({ part: 'dispatcher' }),
  })

  const stop = async () => {
    const done = Promise.all([dispatcher.stop(), deliverer.stop()]).then(() => queue.close())
    await Promise.race([
      done,
      sleep(redis.status === 'ready' ? patience.ready : patience.away, undefined, { ref: false }),
    ])
    // Ends what still waits for a Redis that is away.
    redis.disconnect()
    tail.disconnect()
    jobs.disconnect()
    await Promise.race([done.catch(() => undefined), sleep(500, undefined, { ref: false })])
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
