import type { Action, Grant } from './access.ts'
import type { Keys } from './keys.ts'
import { type RedisClient, toRecord } from './redis.ts'

/** What is kept of a key: all but the key. */
export interface ApiKey {
  id: string
  /** Who or what it is for; also the tenant whose webhooks it manages. */
  tenant: string
  /** SHA-256, in hexadecimal. */
  hash: string
  grants: Grant[]
  actions: Action[]
  /** RFC 3339. */
  createdAt: string
  expiresAt?: string
}

/** Keeps API keys. */
export interface ApiKeyStore {
  /** Makes a key. The text is told this once. */
  create(of: Omit<ApiKey, 'id' | 'hash'>): Promise<{ key: string; record: ApiKey }>
  /** All keys, oldest first. */
  list(): Promise<ApiKey[]>
  /** False: there is no such key. */
  revoke(id: string): Promise<boolean>
  /** The record of a key that is known and has not expired. */
  verify(key: string, now: number): Promise<ApiKey | undefined>
  get(id: string): Promise<ApiKey | undefined>
  /** Grows with every key that is revoked. */
  version(): Promise<number>
}

const shape = /^rk_([0-9a-z]{8})_[A-Za-z0-9_-]{43}$/

/** Creates the store of one cluster's keys. A key is 256 random bits: its hash needs no salt and no slowness. */
export function createApiKeyStore(redis: RedisClient, clusterKeys: Keys): ApiKeyStore {
  const place = clusterKeys.own('api-keys')
  const revocations = clusterKeys.own('api-keys', 'revoked')
  const get = async (id: string) => {
    const stored = await redis.call('HGET', place, id)
    return typeof stored === 'string' ? (JSON.parse(stored) as ApiKey) : undefined
  }
  return {
    get,
    async create(of) {
      const id = createId()
      const key = `rk_${id}_${createToken()}`
      const record: ApiKey = { id, ...of, hash: await hashText(key) }
      await redis.call('HSET', place, id, JSON.stringify(record))
      return { key, record }
    },
    async list() {
      const records = Object.values(toRecord(await redis.call('HGETALL', place))).map(
        (text) => JSON.parse(text) as ApiKey,
      )
      return records.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1))
    },
    async revoke(id) {
      const isKnown = (await redis.call('HDEL', place, id)) === 1
      // Also for one that was gone already, by a call that broke off in between.
      await redis.call('INCR', revocations)
      return isKnown
    },
    async version() {
      return Number((await redis.call('GET', revocations)) ?? 0)
    },
    async verify(key, now) {
      const id = shape.exec(key)?.[1]
      if (id === undefined) return undefined
      const [record, hash] = await Promise.all([get(id), hashText(key)])
      if (record === undefined || !isSame(record.hash, hash)) return undefined
      return isOver(record, now) ? undefined : record
    },
  }
}

/** Whether a key has expired. @param now ms since 1970. */
export function isOver({ expiresAt }: ApiKey, now: number): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= now
}

/** 256 random bits in base64url. */
export function createToken(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** SHA-256 in hexadecimal. */
export async function hashText(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Takes as long for texts that differ early as for those that differ late. */
function isSame(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i % b.length)
  return difference === 0
}

function createId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => (byte % 36).toString(36)).join('')
}
