import { Redis } from 'ioredis'
import type { Logger } from '../../shared/role.ts'
import type { RedisConnection } from './connect-redis.ts'
import { SetupError } from './setup-error.ts'

/** How long a strict start waits for Redis before it goes on without, in ms. */
const patience = 2000
const oldest = [6, 2]

/**
 * Looks for settings of Redis under which the log would lose what it was given: one warning each, with the command that
 * puts it right. Of a cluster, all masters are asked. Where CONFIG is forbidden, as on most managed servers, INFO has to do.
 *
 * Returns at once, and warns when Redis answers. A strict start waits for that answer, but not for a Redis that cannot be
 * reached: then `refuse` is called as soon as it can.
 * @throws SetupError when `strict` and something was found.
 */
export async function checkRedis(
  redis: RedisConnection,
  options: { log: Logger; strict: boolean; refuse?: (error: SetupError) => void },
): Promise<void> {
  const { log, strict, refuse = throwLater } = options
  let isWaiting = strict
  const checked = findWeaknesses(redis).then((found) => {
    if (!strict) for (const weakness of found) log.warn({}, weakness)
    if (!strict || found.length === 0) return
    redis.disconnect()
    const error = new SetupError(`REDIS_URL: refused, because of --strict:\n${found.join('\n')}`)
    if (isWaiting) throw error
    refuse(error)
  })
  if (!strict) {
    checked.catch((error: unknown) => log.debug({ error: String(error) }, 'the settings of Redis could not be checked'))
    return
  }
  let timer: NodeJS.Timeout | undefined
  const waited = new Promise((resolve) => {
    timer = setTimeout(resolve, patience)
  })
  await Promise.race([checked, waited])
  clearTimeout(timer)
  isWaiting = false
  checked.catch((error: unknown) => log.debug({ error: String(error) }, 'the settings of Redis could not be checked'))
}

/** What is weak, each as one line for people. Waits for as long as Redis cannot be reached. */
export async function findWeaknesses(redis: RedisConnection): Promise<string[]> {
  if (redis instanceof Redis) return inspect(redis, '')
  if (redis.status !== 'ready') await new Promise((resolve) => redis.once('ready', resolve))
  const masters = redis.nodes('master')
  const found = await Promise.all(masters.map((node) => inspect(node, `${node.options.host}:${node.options.port}: `)))
  return found.flat()
}

async function inspect(redis: Redis, where: string): Promise<string[]> {
  const info = await redis.info()
  const config = await readConfig(redis)
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1]
  const fix = (name: string, value: string) =>
    config === undefined
      ? `Set ${name} to ${value} where this server is managed; it does not let clients change it.`
      : `Fix: redis-cli CONFIG SET ${name} ${value}, then CONFIG REWRITE.`
  const found: string[] = []

  const version = field('redis_version') ?? '0'
  if (isOlder(version)) found.push(`Redis ${version} is too old for the log. Fix: install 6.2 or newer.`)
  const appendonly = config?.appendonly ?? (field('aof_enabled') === '0' ? 'no' : 'yes')
  if (appendonly === 'no') {
    found.push(`appendonly is no: a Redis that restarts loses what it was told. ${fix('appendonly', 'yes')}`)
  }
  // INFO does not tell; without the file it means nothing.
  if (appendonly === 'yes' && config?.appendfsync === 'no') {
    found.push(`appendfsync is no: a machine that crashes loses up to half a minute. ${fix('appendfsync', 'everysec')}`)
  }
  const policy = config?.['maxmemory-policy'] ?? field('maxmemory_policy') ?? 'noeviction'
  if (policy !== 'noeviction') {
    found.push(
      `maxmemory-policy is ${policy}: evicted keys are holes in the log. ${fix('maxmemory-policy', 'noeviction')}`,
    )
  }
  return found.map((line) => `Redis: ${where}${line}`)
}

/** Undefined where it is forbidden. */
async function readConfig(redis: Redis): Promise<Record<string, string> | undefined> {
  const config: Record<string, string> = {}
  try {
    for (const name of ['appendonly', 'appendfsync', 'maxmemory-policy']) {
      const [, value] = (await redis.config('GET', name)) as string[]
      if (value !== undefined) config[name] = value
    }
  } catch (error) {
    if (/^(ERR unknown command|NOPERM)/i.test((error as Error).message)) return undefined
    throw error
  }
  return config
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = oldest
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
}

/** Ends the process as any error does that nobody handles. */
function throwLater(error: SetupError): void {
  queueMicrotask(() => {
    throw error
  })
}
