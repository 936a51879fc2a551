import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { awaitFolder } from '../../../infra/node/lock.ts'
import { SetupError } from '../../../infra/node/setup-error.ts'
import type { Config } from '../../../shared/config.ts'
import type { Logger } from '../../../shared/role.ts'
import { renderBanner } from './banner.ts'
import type { Cluster } from './cluster.ts'
import { writeClusterNote } from './note.ts'
import { adaptToSandbox, type Part, startRedis, startRole, startSandbox, startServeRole } from './parts.ts'
import { checkPort } from './port.ts'

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

/** When the summary is printed even if a role is still on its way, in ms after Redis is there. */
const bannerDeadline = 3_000

/**
 * Starts the sandbox, Redis and all roles, each in a process of its own, and prints where they are.
 *
 * @returns at once; `ready` rejects with SetupError where a setting is at fault. Stop it in any case.
 */
export function startUp(options: UpOptions): Relay & { readonly ready: Promise<void> } {
  const started: Part[] = []
  const stopping = new AbortController()
  const ready = startAll(options, started, stopping.signal)
  let stopped: Promise<void> | undefined
  const stop = async () => {
    stopping.abort()
    // A signal may reach the whole process group: then children end by themselves.
    for (const part of started) part.retire?.()
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

async function startAll(options: UpOptions, started: Part[], signal: AbortSignal): Promise<void> {
  const { config, cluster, log } = options
  const data = resolve(config.data)
  const aborted = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  aborted.catch(() => undefined)
  await mkdir(data, { recursive: true, mode: 0o700 })
  const lock = await awaitFolder(data, signal, ({ heldBy }) =>
    log.info({ pid: heldBy }, `waiting for the relay on ${config.data} that is ending`),
  )
  if ('heldBy' in lock) {
    throw new SetupError(
      `RELAY_DATA: another relay (process ${lock.heldBy}) runs on ${config.data}. End it, or choose another folder (--data).`,
    )
  }
  started.push({ retire: lock.leave, stop: async () => lock.release(), kill: lock.release })
  await checkPort(config.host, config.port)

  const redisStarting = startRedis(options, started)
  const kubeconfig = cluster.kind === 'sandbox' ? join(data, 'sandbox.kubeconfig') : undefined
  const sandbox = kubeconfig === undefined ? undefined : startSandbox(options, kubeconfig)
  if (sandbox !== undefined) started.push(sandbox)
  const redis = await redisStarting
  signal.throwIfAborted()
  // Fetching a Redis server, or loading a long log, takes as long as it takes.
  const deadline = sleep(bannerDeadline, undefined, { ref: false })

  const clusterName = config.cluster ?? cluster.name
  await writeClusterNote(data, { cluster: clusterName, ...(kubeconfig === undefined ? {} : { kubeconfig }) })
  const roleConfig: Config = {
    ...config,
    cluster: clusterName,
    redisUrl: redis.url,
    ...(kubeconfig === undefined ? {} : adaptToSandbox(kubeconfig, options)),
  }
  // These two need no cluster.
  const serve = startServeRole(roleConfig, options)
  const deliver = startRole('deliver', roleConfig, options)
  started.push(serve, deliver)
  const server = await Promise.race([sandbox?.ready.then(({ url }) => url), aborted])
  const watch = startRole('watch', roleConfig, options)
  // Roles drain in the opposite order: nothing new comes in, what came in goes out, and subscribers see it.
  started.push(watch)

  const roles = [serve, deliver, watch]
  const late = new Set(roles.map(({ name }) => name))
  const all = Promise.all(roles.map((role) => role.ready.then(() => late.delete(role.name))))
  await Promise.race([all, deadline, aborted])
  // Only serve knows where it listens.
  const address = await Promise.race([serve.ready, aborted])
  options.print(
    renderBanner({
      version: options.version,
      url: address.url ?? `http://${config.host}:${config.port}`,
      cluster,
      clusterName,
      server: cluster.kind === 'real' ? cluster.server : (server ?? ''),
      ...(kubeconfig === undefined ? {} : { kubeconfig: join(config.data, 'sandbox.kubeconfig') }),
      redis: redis.description,
      webhookCidrs: roleConfig.webhookAllowCidrs,
      auth: roleConfig.auth,
      late: [...late],
    }),
  )
  if (late.size === 0) return
  log.warn({ roles: [...late] }, 'not ready yet')
  for (const role of roles.filter(({ name }) => late.has(name))) {
    role.ready.then(
      () => log.info({}, `${role.name} is ready`),
      () => undefined,
    )
  }
  await Promise.race([all, aborted])
}
