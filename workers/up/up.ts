import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lockFolder } from '../../infra/node/lock.ts'
import { SetupError } from '../../infra/node/setup-error.ts'
import { type PrivateRedis, startPrivateRedis } from '../../infra/redis/private-redis.ts'
import { type Config, settings, toEnvironment } from '../../shared/config.ts'
import type { Logger } from '../../shared/role.ts'
import { renderBanner } from './banner.ts'
import { type SupervisedChild, superviseChild } from './child.ts'
import { type Cluster, renderSandboxKubeconfig } from './cluster.ts'
import { writeClusterNote } from './note.ts'
import { checkPort } from './port.ts'
import { awaitRoleReady, awaitSandboxReady, launchRole, launchSandbox } from './processes.ts'

export interface UpOptions {
  readonly config: Config
  readonly version: string
  /** The environment that children inherit. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folders for a fetched Redis server, best first. */
  readonly caches: readonly string[]
  readonly cluster: Cluster
  /** Whether the settings of webhooks were given, so that the sandbox must not change them. */
  readonly given: { readonly cidrs: boolean; readonly http: boolean }
  readonly log: Logger
  /** Writes to stdout. */
  print(text: string): void
}

/** Everything that `relay up` started. */
export interface Relay {
  /** Lets the roles drain one after the other, then ends the sandbox and Redis. */
  stop(): Promise<void>
  /** Ends everything at once, except that Redis still writes to disk. */
  kill(): void
}

/** Roles drain in this order: nothing new comes in, what came in goes out, and subscribers see it. */
const drainOrder = ['watch', 'deliver', 'serve'] as const

/** When the summary is printed even if something is still on its way, in ms after the start. */
const bannerDeadline = 4_500

/** What has been started so far, in the order of starting. */
interface Started {
  readonly stop: () => Promise<void>
  readonly kill: () => void
}

/**
 * Starts the sandbox, Redis and all roles, each in a process of its own, and prints where they are.
 *
 * @returns at once; `ready` rejects with SetupError where a setting is at fault. Stop it in any case.
 */
export function startUp(options: UpOptions): Relay & { readonly ready: Promise<void> } {
  const started: Started[] = []
  const stopping = new AbortController()
  const ready = startAll(options, started, stopping.signal)
  let stopped: Promise<void> | undefined
  const stop = async () => {
    stopping.abort()
    // What is half started has to be known before it can be stopped.
    await ready.catch(() => undefined)
    for (const part of started.toReversed()) {
      await part.stop().catch((error: unknown) => options.log.error({ error: String(error) }, 'did not end cleanly'))
    }
  }
  return {
    ready,
    stop() {
      stopped ??= stop()
      return stopped
    },
    kill() {
      for (const part of started.toReversed()) part.kill()
    },
  }
}

async function startAll(options: UpOptions, started: Started[], signal: AbortSignal): Promise<void> {
  const { config, cluster, log } = options
  const data = resolve(config.data)
  const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  aborted.catch(() => undefined)
  const deadline = sleep(bannerDeadline, 'late' as const, { ref: false })
  await mkdir(data, { recursive: true, mode: 0o700 })
  const lock = await lockFolder(data)
  if ('heldBy' in lock) {
    throw new SetupError(
      `RELAY_DATA: another relay (process ${lock.heldBy}) runs on ${config.data}. End it, or choose another folder (--data).`,
    )
  }
  started.push({ stop: async () => lock.release(), kill: lock.release })
  await checkPort(config.host, config.port)

  // In this order, since they end in the opposite one.
  const starting = [startRedis(options, started), startSandbox(options, started, aborted)] as const
  await Promise.allSettled(starting)
  const [redis, sandbox] = await Promise.all(starting)
  signal.throwIfAborted()
  const clusterName = config.cluster ?? cluster.name
  const kubeconfig = sandbox === undefined ? undefined : join(data, 'sandbox.kubeconfig')
  if (sandbox !== undefined && kubeconfig !== undefined)
    await writeFile(kubeconfig, renderSandboxKubeconfig(sandbox.url))
  await writeClusterNote(data, { cluster: clusterName, ...(kubeconfig === undefined ? {} : { kubeconfig }) })

  const roleConfig: Config = {
    ...config,
    cluster: clusterName,
    redisUrl: redis.url,
    ...(kubeconfig === undefined ? {} : adaptToSandbox(kubeconfig, options)),
  }
  const roles = startRoles(roleConfig, options)
  started.push({
    stop: async () => {
      for (const name of drainOrder) await roles[name].stop()
    },
    kill: () => {
      for (const name of drainOrder) roles[name].kill()
    },
  })

  const late = new Set<string>(drainOrder)
  const all = Promise.all(drainOrder.map((name) => roles[name].ready.then(() => late.delete(name))))
  await Promise.race([all, deadline, aborted])
  // Only serve knows where it listens.
  const address = await Promise.race([roles.serve.ready, aborted])
  options.print(
    renderBanner({
      version: options.version,
      url: address.url ?? `http://${config.host}:${config.port}`,
      cluster,
      clusterName,
      server: cluster.kind === 'real' ? cluster.server : (sandbox?.url ?? ''),
      ...(kubeconfig === undefined ? {} : { kubeconfig: join(config.data, 'sandbox.kubeconfig') }),
      redis: redis.description,
      webhookCidrs: roleConfig.webhookAllowCidrs,
      late: [...late],
    }),
  )
  if (late.size === 0) return
  log.warn({ roles: [...late] }, 'not ready yet')
  await Promise.race([all, aborted])
}

async function startRedis(options: UpOptions, started: Started[]): Promise<{ url: string; description: string }> {
  const { config, caches, env, log } = options
  if (config.redisUrl !== undefined) {
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

async function startSandbox(
  options: UpOptions,
  started: Started[],
  aborted: Promise<never>,
): Promise<{ url: string } | undefined> {
  const { config, cluster, log } = options
  if (cluster.kind !== 'sandbox') return undefined
  let port = 0
  const child = superviseChild({
    name: 'sandbox',
    log,
    launch() {
      // Another world each time unless asked for: one that repeats itself would repeat the ids of old events.
      const seed = config.sandboxSeed ?? Math.floor(Math.random() * 2 ** 32)
      return launchSandbox({ port, rate: config.sandboxRate, seed })
    },
    awaitReady: awaitSandboxReady,
    onReady: ({ url = '' }) => {
      port = Number(new URL(url).port)
    },
  })
  started.push(child)
  const { url = '' } = await Promise.race([child.ready, aborted])
  return { url }
}

function startRoles(config: Config, { env, log }: UpOptions): Record<(typeof drainOrder)[number], SupervisedChild> {
  let port = config.port
  const start = (role: string, onReady?: (about: Readonly<Record<string, string>>) => void) =>
    superviseChild({
      name: role,
      log,
      launch: () => launchRole(role, { ...withoutSettings(env), ...toEnvironment({ ...config, port }) }),
      awaitReady: awaitRoleReady,
      ...(onReady === undefined ? {} : { onReady }),
    })
  return {
    watch: start('watch'),
    deliver: start('deliver'),
    serve: start('serve', ({ url }) => {
      // Started again, it comes back to the place that people know.
      if (url !== undefined) port = Number(new URL(url).port) || port
    }),
  }
}

function adaptToSandbox(kubeconfig: string, { config, given }: UpOptions): Partial<Config> {
  return {
    kubeconfig,
    context: undefined,
    webhookAllowCidrs: given.cidrs ? config.webhookAllowCidrs : ['127.0.0.0/8', '::1/128'],
    webhookAllowHttp: given.http ? config.webhookAllowHttp : true,
  }
}

/** Children get every setting from the effective configuration alone. */
function withoutSettings(env: UpOptions['env']): NodeJS.ProcessEnv {
  const names = new Set(Object.values(settings).map((setting) => setting.name))
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.has(name)))
}
