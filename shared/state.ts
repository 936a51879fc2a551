import type { Keys } from './keys.ts'
import { namespacesScript, pageScript } from './log/read-scripts.ts'
import type { Position } from './position.ts'
import type { RedisClient } from './redis.ts'

/** One object as it is now: the fields of an event's `data` without `changes`, and some of the relay's own. */
export interface StoredObject<Data = unknown> {
  /** `<namespace>/<name>`; the namespace is empty for a cluster-scoped object. */
  key: string
  /** The newest log entry that this state includes, so that a reader of state and log can tell what it saw already. */
  seq: number
  data: Data
  /** What the writer keeps beside it to compare the next version with; for nobody else. */
  kept?: unknown
}

/** An ended term of a Lease as it is kept. */
export interface StoredTerm<Term = unknown> {
  /** The log entry that it ended with; of one Lease no two terms share it. */
  seq: number
  term: Term
}

/** Some current objects, in order of their keys. */
export interface StatePage<Data = unknown> {
  /** The head of the log at the moment that the page was read. */
  position: Position
  objects: StoredObject<Data>[]
  /** The key to continue after; absent on the last page. */
  next?: string
}

/** Reads the known set: what exists now. Resources are named `<plural>` or `<plural>.<group>`. */
export interface StateReader {
  get<Data>(resource: string, namespace: string, name: string): Promise<StoredObject<Data> | undefined>
  page<Data>(resource: string, options: { namespace?: string; after?: string; limit: number }): Promise<StatePage<Data>>
  /** Several at once, by `<namespace>/<name>`; those that do not exist are left out. */
  find<Data>(resource: string, keys: readonly string[]): Promise<StoredObject<Data>[]>
  /** The namespaces that there are objects in, in order of their keys. */
  namespaces(resource: string, limit: number): Promise<string[]>
  /** The ended terms of a Lease that are kept, newest first. */
  terms<Term>(namespace: string, name: string): Promise<StoredTerm<Term>[]>
  /** The ended terms that an identity had, newest first. */
  heldTerms<Term>(holder: string): Promise<StoredTerm<Term>[]>
  /** The Leases that an identity holds, as `<namespace>/<name>` in order. */
  holds(holder: string, limit: number): Promise<string[]>
}

/** Creates a reader of one cluster's current objects. */
export function createStateReader(redis: RedisClient, keys: Keys): StateReader {
  return {
    async get<Data>(resource: string, namespace: string, name: string) {
      const key = `${namespace}/${name}`
      const stored = await redis.call('HGET', keys.objects(resource), key)
      return typeof stored === 'string' ? parseStored<Data>(key, stored) : undefined
    },
    async page<Data>(resource: string, options: { namespace?: string; after?: string; limit: number }) {
      const { namespace, after, limit } = options
      const start = namespace === undefined ? '' : `${namespace}/`
      // `0` follows `/`, so that the range ends behind the namespace's last name.
      const end = namespace === undefined ? '+' : `(${namespace}0`
      const from = after === undefined ? `[${start}` : `(${after}`
      const answer = await pageScript.run(
        redis,
        [keys.meta, keys.objects(resource), keys.index(resource)],
        [from, end, limit],
      )
      const [epoch = '', seq, ...flat] = answer as string[]
      const objects: StoredObject<Data>[] = []
      for (let i = 0; i + 1 < flat.length; i += 2) objects.push(parseStored<Data>(flat[i] ?? '', flat[i + 1] ?? ''))
      const page: StatePage<Data> = { position: { epoch, seq: Number(seq) }, objects }
      const last = objects.at(-1)
      if (last !== undefined && objects.length === limit) page.next = last.key
      return page
    },
    async find<Data>(resource: string, wanted: readonly string[]) {
      if (wanted.length === 0) return []
      const answer = (await redis.call('HMGET', keys.objects(resource), ...wanted)) as (string | null)[]
      return wanted.flatMap((key, index) => {
        const stored = answer[index]
        return typeof stored === 'string' ? [parseStored<Data>(key, stored)] : []
      })
    },
    async namespaces(resource, limit) {
      return (await namespacesScript.run(redis, [keys.index(resource)], [limit])) as string[]
    },
    terms: <Term>(namespace: string, name: string) => readTerms<Term>(redis, keys.terms(`${namespace}/${name}`)),
    heldTerms: <Term>(holder: string) => readTerms<Term>(redis, keys.heldTerms(holder)),
    async holds(holder, limit) {
      // The character after the line feed ends the range; a holder that itself has a line feed may lie within.
      const range = [`[${holder}\n`, `(${holder}\v`, 'LIMIT', 0, limit]
      const members = (await redis.call('ZRANGEBYLEX', keys.holds, ...range)) as string[]
      return members.map((member) => member.slice(holder.length + 1)).filter((key) => !key.includes('\n'))
    },
  }
}

async function readTerms<Term>(redis: RedisClient, list: string): Promise<StoredTerm<Term>[]> {
  const answer = (await redis.call('LRANGE', list, 0, -1)) as string[]
  return answer.map((entry) => {
    const space = entry.indexOf(' ')
    return { seq: Number(entry.slice(0, space)), term: JSON.parse(entry.slice(space + 1)) as Term }
  })
}

/** Splits a stored record, `<seq> <JSON>`. */
function parseStored<Data>(key: string, stored: string): StoredObject<Data> {
  const space = stored.indexOf(' ')
  const data = JSON.parse(stored.slice(space + 1)) as Data & { kept?: unknown }
  const object: StoredObject<Data> = { key, seq: Number(stored.slice(0, space)), data }
  if (data.kept !== undefined) {
    object.kept = data.kept
    delete data.kept
  }
  return object
}
