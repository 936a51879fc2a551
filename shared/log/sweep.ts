import type { Keys } from '../keys.ts'
import { createScript, type RedisClient } from '../redis.ts'

/** What a feed covers; an empty namespace: all. */
interface Scope {
  resource: string
  namespace: string
}

const pageSize = 500

/** True while the same feeds are there, and the same ones of them unclaimed: whoever comes back keeps what is its own. */
const isUnchanged = `redis.call('ZCARD', KEYS[1]) == tonumber(ARGV[1]) and
  redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[2]) == tonumber(ARGV[3])`

/**
 * Takes objects out of a known set. KEYS feeds, objects, index, holds. ARGV how many feeds there are, the time up to which
 * a claim is too old, how many of those, how many objects, then their keys and the running terms that go with them.
 * Answers 0, and does nothing, where the feeds are no longer the same.
 */
const dropScript = /* @__PURE__ */ createScript(`
if not (${isUnchanged}) then return 0 end
local last = 4 + ARGV[4]
redis.call('HDEL', KEYS[2], unpack(ARGV, 5, last))
redis.call('ZREM', KEYS[3], unpack(ARGV, 5, last))
if #ARGV > last then redis.call('ZREM', KEYS[4], unpack(ARGV, last + 1)) end
return 1
`)

/** Forgets feeds. KEYS feeds, status, their hashes… ARGV as above up to how many of those, then their ids. */
const forgetScript = /* @__PURE__ */ createScript(`
if not (${isUnchanged}) then return 0 end
redis.call('ZREM', KEYS[1], unpack(ARGV, 4))
redis.call('HDEL', KEYS[2], unpack(ARGV, 4))
redis.call('UNLINK', unpack(KEYS, 3))
return 1
`)

/**
 * Removes what feeds left that no watcher has claimed for so long that no configuration can name them any more: their
 * cursor, and of the known sets whatever no other feed covers. Nobody is told: those objects were not deleted, they are no
 * longer watched. Of feeds that come back meanwhile nothing is removed.
 * @param unclaimedMs by the clock of Redis.
 * @returns the ids of the feeds that were removed.
 */
export async function sweepFeeds(deps: { redis: RedisClient; keys: Keys; unclaimedMs: number }): Promise<string[]> {
  const { redis, keys, unclaimedMs } = deps
  const [seconds] = (await redis.call('TIME')) as string[]
  const limit = Number(seconds) * 1000 - unclaimedMs
  const stale = (await redis.call('ZRANGEBYSCORE', keys.feeds, '-inf', limit)) as string[]
  if (stale.length === 0) return []
  const all = (await redis.call('ZRANGE', keys.feeds, 0, -1)) as string[]
  const state = [all.length, limit, stale.length]
  const scopeOf = async (id: string): Promise<Scope> => {
    const [resource, namespace] = (await redis.call('HMGET', keys.feed(id), 'resource', 'namespace')) as (
      | string
      | null
    )[]
    return { resource: resource ?? '', namespace: namespace ?? '' }
  }
  const living = await Promise.all(all.filter((id) => !stale.includes(id)).map(scopeOf))
  for (const scope of await Promise.all(stale.map(scopeOf))) {
    const covered = living.filter(({ resource }) => resource === scope.resource).map(({ namespace }) => namespace)
    if (scope.resource === '' || covered.includes('') || covered.includes(scope.namespace)) continue
    for await (const page of listKeys(redis, keys.index(scope.resource), scope.namespace)) {
      const names = page.filter((name) => !covered.includes(name.slice(0, name.indexOf('/'))))
      if (names.length === 0) continue
      const stored = (await redis.call('HMGET', keys.objects(scope.resource), ...names)) as (string | null)[]
      const holds = names.flatMap((name, n) => findHold(name, stored[n]))
      const touched = [keys.feeds, keys.objects(scope.resource), keys.index(scope.resource), keys.holds]
      if ((await dropScript.run(redis, touched, [...state, names.length, ...names, ...holds])) !== 1) return []
    }
  }
  const touched = [keys.feeds, keys.own('status'), ...stale.map(keys.feed)]
  return (await forgetScript.run(redis, touched, [...state, ...stale])) === 1 ? stale : []
}

/** The keys of a known set, or of one namespace in it, page by page. */
async function* listKeys(redis: RedisClient, index: string, namespace: string): AsyncGenerator<string[]> {
  // `0` follows `/`, so that the range ends behind the namespace's last name.
  const end = namespace === '' ? '+' : `(${namespace}0`
  for (let from = namespace === '' ? '-' : `[${namespace}/`; ; ) {
    const page = (await redis.call('ZRANGEBYLEX', index, from, end, 'LIMIT', 0, pageSize)) as string[]
    const last = page.at(-1)
    if (last === undefined) return
    yield page
    from = `(${last}`
  }
}

/** The running term that a Lease's record tells of, as its holder's list names it. */
function findHold(key: string, stored: string | null | undefined): string[] {
  if (stored === null || stored === undefined) return []
  const { term } = JSON.parse(stored.slice(stored.indexOf(' ') + 1)) as { term?: { holder?: string } }
  return term?.holder === undefined ? [] : [`${term.holder}\n${key}`]
}
