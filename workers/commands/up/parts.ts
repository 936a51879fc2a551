import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkRedis } from '../../../infra/node/check-redis.ts'
import { connectRedis } from '../../../infra/node/connect-redis.ts'
import { type PrivateRedis, startPrivateRedis } from '../../../infra/redis/private-redis.ts'
import { type Config, settings, toEnvironment } from '../../../shared/config.ts'
import { type About, type SupervisedChild, superviseChild } from './child.ts'
import { renderSandboxKubeconfig } from './cluster.ts'
import { awaitRoleReady, awaitSandboxReady, launchRole, launchSandbox } from './processes.ts'
import type { UpOptions } from './up.ts'

/** Something that was started and has to be ended. */
export interface Part {
  /** Called on all before the first one is stopped: what ends from now on was meant to. */
  retire?(): void
  /** Lets it drain. */
  stop(): Promise<void>
  /** Ends it at once. */
  kill(): void
}

/** Starts the private Redis server unless another one is given. `started` gets it before it runs. */
export async function startRedis(options: UpOptions, started: Part[]): Promise<{ url: string; description: string }> {
  const { config, caches, env, log } = options
  if (config.redisUrl !== undefined) {
    if (config.strict) await checkBeforehand(config.redisUrl, log)
    const shown = settings.redisUrl.mask?.(config.redisUrl) ?? ''
    return { url: config.redisUrl, description: `${shown} (from REDIS_URL)` }
  }
  let redis: PrivateRedis | undefined
  started.push({ stop: async () => redis?.stop(), kill: () => redis?.terminate() })
  redis = await startPrivateRedis({ dir: config.data, searchPath: env.PATH ?? '', caches, log })
  const found = redis.adopted ? ', taken over from an earlier run' : ''
  const { port } = new URL(redis.url)
  const description = `127.0.0.1:${port}, private: ${redis.how}${found}, data in ${join(config.data, 'redis')}`
  return { url: redis.url, description }
}

/** Refuses weak settings before anything else is started, rather than by one role after the other. */
async function checkBeforehand(url: string, log: UpOptions['log']): Promise<void> {
  const redis = connectRedis(url, { log, name: 'check', isQuiet: true })
  // Of a Redis that comes later the roles find out themselves.
  await checkRedis(redis, { log, strict: true, refuse: () => undefined })
  redis.disconnect()
}

/** Starts the sandbox cluster, and writes the kubeconfig for it. */
export function startSandbox({ config, log }: UpOptions, kubeconfig: string): SupervisedChild {
  let port = 0
  return superviseChild({
    name: 'sandbox',
    log,
    launch() {
      // Another world each time unless asked for: one that repeats itself would repeat the ids of old events.
      const seed = config.sandboxSeed ?? Math.floor(Math.random() * 2 ** 32)
      return launchSandbox({ port, rate: config.sandboxRate, seed })
    },
    awaitReady: awaitSandboxReady,
    onReady({ url = '' }) {
      // Started again, it comes back to the place that the watcher knows.
      port = Number(new URL(url).port)
      writeFileSync(kubeconfig, renderSandboxKubeconfig(url))
    },
  })
}

/** Starts a role with this configuration. */
export function startRole(role: 'watch' | 'deliver', config: Config, { env, log }: UpOptions): SupervisedChild {
  const launch = () => launchRole(role, withSettings(env, config))
  return superviseChild({ name: role, log, launch, awaitReady: awaitRoleReady })
}

/** Starts the functions. If they are started again, it is on the port that people know by then, even if it was any. */
export function startServeRole(config: Config, { env, log }: UpOptions): SupervisedChild {
  let { port } = config
  return superviseChild({
    name: 'serve',
    log,
    launch: () => launchRole('serve', withSettings(env, { ...config, port })),
    awaitReady: awaitRoleReady,
    onReady({ url }: About) {
      if (url !== undefined) port = Number(new URL(url).port) || port
    },
  })
}

/** What differs on the sandbox: its own kubeconfig, and webhooks to this machine unless the settings say otherwise. */
export function adaptToSandbox(kubeconfig: string, { config, given }: UpOptions): Partial<Config> {
  return {
    kubeconfig,
    context: undefined,
    webhookAllowCidrs: given.cidrs ? config.webhookAllowCidrs : ['127.0.0.0/8', '::1/128'],
    webhookAllowHttp: given.http ? config.webhookAllowHttp : true,
  }
}

/** Children get every setting from the effective configuration alone. */
function withSettings(env: UpOptions['env'], config: Config): NodeJS.ProcessEnv {
  const names = new Set<string>(Object.values(settings).map((setting) => setting.name))
  const rest = Object.entries(env).filter(([name]) => !names.has(name))
  return { ...Object.fromEntries(rest), ...toEnvironment(config) }
}
