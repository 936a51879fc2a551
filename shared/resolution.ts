import type { Keys } from './keys.ts'
import { type RedisClient, toRecord } from './redis.ts'
import { isSettled, nameFeed, type WatchedResource } from './resource.ts'

/** What the server calls a configured resource. */
export type Resolution = Pick<WatchedResource, 'group' | 'version' | 'resource' | 'kind'>

const keyOf = (keys: Keys) => keys.own('resolutions')

/** Tells those who cannot ask the server what a configured resource means. */
export async function storeResolution(
  redis: RedisClient,
  keys: Keys,
  asked: WatchedResource,
  { group, version, resource, kind }: WatchedResource,
): Promise<void> {
  await redis.call('HSET', keyOf(keys), nameFeed(asked), JSON.stringify({ group, version, resource, kind }))
}

/**
 * Replaces, in the list itself, what the watcher has asked the server about, so that all who hold the list know it.
 * @returns true when nothing is left to wait for.
 */
export async function settleResources(redis: RedisClient, keys: Keys, resources: WatchedResource[]): Promise<boolean> {
  if (resources.every(isSettled)) return true
  const stored = toRecord(await redis.call('HGETALL', keyOf(keys)))
  for (const [index, asked] of resources.entries()) {
    const resolution = stored[nameFeed(asked)]
    if (resolution === undefined || isSettled(asked)) continue
    resources[index] = { ...asked, ...(JSON.parse(resolution) as Resolution) }
  }
  return resources.every(isSettled)
}
