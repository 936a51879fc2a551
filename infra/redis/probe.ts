import { Redis } from 'ioredis'

/** What answers at a Redis address. */
export type Probe =
  | { readonly state: 'ready' | 'loading'; readonly pid: number; readonly folder: string; readonly version: string }
  /** Nobody listens, somebody else does, or it listens without answering. */
  | { readonly state: 'refused' | 'stranger' | 'silent'; readonly reason: string }

const patience = 2_000

/** Asks a server who it is, by one short connection. */
export function probeServer(url: string): Promise<Probe> {
  return connectOnce(url, async (redis) => {
    const info = await redis.info()
    const folder = await redis.config('GET', 'dir')
    return {
      state: field(info, 'loading') === '0' ? 'ready' : 'loading',
      pid: Number(field(info, 'process_id')),
      folder: Array.isArray(folder) ? String(folder[1]) : '',
      version: field(info, 'valkey_version') || field(info, 'redis_version'),
    } as const
  }).catch((error: unknown) => ({ state: classify(error), reason: String(error) }) as const)
}

/** Asks a server to end. With the append-only file on, it writes everything to disk first. */
export async function requestShutdown(url: string): Promise<void> {
  // The server closes the connection instead of answering.
  await connectOnce(url, (redis) => redis.call('SHUTDOWN')).catch((error: unknown) => {
    if (classify(error) === 'silent') throw error
  })
}

async function connectOnce<T>(url: string, use: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, {
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    connectTimeout: patience,
    commandTimeout: patience,
  })
  let failure: unknown
  redis.on('error', (error) => {
    failure ??= error
  })
  try {
    await redis.connect()
    return await use(redis)
  } catch (error) {
    throw failure ?? error
  } finally {
    redis.disconnect()
  }
}

function classify(error: unknown): 'refused' | 'stranger' | 'silent' {
  const text = String(error)
  if (text.includes('timed out') || text.includes('ETIMEDOUT')) return 'silent'
  return text.includes('ECONNREFUSED') || text.includes('Connection is closed') || text.includes('ECONNRESET')
    ? 'refused'
    : 'stranger'
}

function field(info: string, name: string): string {
  return new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? ''
}
