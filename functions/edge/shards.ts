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

/** FNV-1a, with its bits mixed once more: texts that differ only in their ends must not score alike. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
