/** Clauses of a query that say where to begin, or who asks, but not what is subscribed to. */
const passing = ['from', 'ticket', 'wait', 'limit']

/**
 * Ranks the shards for a key, best first (rendezvous hashing): the same key finds the same shard, whatever the others do, and
 * another number of shards moves only the keys that it must.
 */
export function rankShards(key: string, count: number): number[] {
  const scores = Array.from({ length: count }, (_, shard) => ({ shard, score: hash(`${shard} ${key}`) }))
  return scores.sort((a, b) => b.score - a.score).map(({ shard }) => shard)
}

/** What a subscription keeps when it comes back: who asks, from where, and for what. */
export function describeSubscription(url: URL, address: string, caller: string): string {
  const clauses = [...url.searchParams].filter(([name]) => !passing.includes(name)).map((clause) => clause.join('='))
  return [address, caller, url.pathname, ...clauses.sort()].join('\n')
}

/** How long a shard that had no room, or much to do, is left to those that it has, in ms. */
const crowdedMs = 1_000

/** Remembers which shards had no room. */
export interface Crowd {
  /** Which shards to ask, best first; when all are crowded, only the best: it has to say so itself. */
  choose(ranked: readonly number[]): readonly number[]
  note(shard: number): void
}

/** Creates one that remembers nothing yet. Each place that takes requests in has its own. */
export function createCrowd(now: () => number = Date.now): Crowd {
  const until = new Map<number, number>()
  return {
    choose(ranked) {
      const free = ranked.filter((shard) => (until.get(shard) ?? 0) <= now())
      return free.length > 0 ? free : ranked.slice(0, 1)
    },
    note: (shard) => void until.set(shard, now() + crowdedMs),
  }
}

/**
 * Tells a shard when it has much to do: more requests than so many a second, with a second's worth of them at once.
 * @returns what each request is to be told to; true when there are too many.
 */
export function createMeter(perSecond: number, now: () => number = Date.now): () => boolean {
  let [left, at] = [perSecond, now()]
  return () => {
    const time = now()
    left = Math.min(perSecond, left + ((time - at) / 1_000) * perSecond)
    at = time
    if (left < 1) return true
    left--
    return false
  }
}

/** FNV-1a, with its bits mixed once more: texts that differ only in their ends must not score alike. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
