import type { AppendAnswer, Batch, ClaimAnswer, LogWriter } from '../../shared/log/writer.ts'
import type { StatePage, StateReader, StoredObject, StoredTerm } from '../../shared/state.ts'

interface FeedRecord {
  owner: string
  until: number
  fence: number
  batch: number
  rv: string
  note: string
  from: number
  to: number
}

/** Everything that Redis holds. */
interface Content {
  epoch: string
  seq: number
  first: number
  /** Bytes of all events ever. */
  bytes: number
  /** The server that it was written on. */
  server: string
  /** Earlier epochs, each with the last entry that it shares with this one: `<epoch> <seq> …`. */
  past: string
  /** By sequence number, from `first` on. */
  entries: Map<number, { json: string; before: number }>
  feeds: Map<string, FeedRecord>
  /** By resource, then key. */
  objects: Map<string, Map<string, { seq: number; record: string }>>
  /** By `lease <key>` and `holder <name>`, newest first. */
  terms: Map<string, { seq: number; term: string }[]>
  /** `<holder>\n<key>` of each Lease that is held. */
  holds: Set<string>
}

/** What befell the log, in order: what was written, and what was taken back. */
export type LogDeed =
  | {
      type: 'append'
      at: number
      feed: string
      resource: string
      batch: Batch
      epoch: string
      from: number
      to: number
    }
  | { type: 'epoch'; at: number; epoch: string }
  /** Redis went back to how it was after this many deeds. */
  | { type: 'rewind'; at: number; deeds: number; seq: number; epoch: string }

/** A model of the log, with the semantics of the scripts in `shared/log/scripts.ts`. Nothing in it takes time. */
export interface SimulatedLog {
  openWriter(feed: string, resource: string): SynchronousWriter
  state: SynchronousState
  meta(): { epoch: string; seq: number; first: number; past: string }
  /** Gives a log that has no epoch yet this one. */
  beginEpoch(epoch: string): void
  /** Entries after a sequence number, oldest first. */
  read(after: number, limit: number): { seq: number; json: string }[]
  /** The resourceVersion that a feed would be resumed from. */
  cursorOf(feed: string): string
  /** Goes back to how it was some appends ago, as a failover or an old append-only file does; true when it could. */
  rewind(appends: number): boolean
  /** It can go back to no moment before this one. */
  forgetBackups(): void
  /** Starts again with everything that it had. */
  restart(): void
  /** Called after every append. */
  onAppend: () => void
  readonly deeds: readonly LogDeed[]
}

type Synchronous<T> = {
  [K in keyof T]: T[K] extends (...args: infer A) => Promise<infer R> ? (...args: A) => R : T[K]
}
export type SynchronousWriter = Synchronous<LogWriter>
export interface SynchronousState {
  get<Data>(resource: string, namespace: string, name: string): StoredObject<Data> | undefined
  page<Data>(resource: string, options: Parameters<StateReader['page']>[1]): StatePage<Data>
  find<Data>(resource: string, keys: readonly string[]): StoredObject<Data>[]
  terms<Term>(namespace: string, name: string): StoredTerm<Term>[]
  heldTerms<Term>(holder: string): StoredTerm<Term>[]
  holds(holder: string, limit: number): string[]
}

const backupsKept = 40
const encoder = new TextEncoder()

/** Retention, as writers have it. */
export interface Retention {
  keepEntries: number
  keepBytes?: number
  keepMs?: number
}

/** Creates an empty log. `createEpoch` names its lives; `now` is ms since 1970. */
export function createSimulatedLog(deps: {
  now: () => number
  createEpoch: () => string
  retention: Retention
}): SimulatedLog {
  const { now, createEpoch } = deps
  const { keepEntries, keepBytes = Number.POSITIVE_INFINITY, keepMs } = deps.retention
  let servers = 1
  let server = 'server-1'
  let content: Content = {
    epoch: '',
    seq: 0,
    first: 1,
    bytes: 0,
    server: '',
    past: '',
    entries: new Map(),
    feeds: new Map(),
    objects: new Map(),
    terms: new Map(),
    holds: new Set(),
  }
  const deeds: LogDeed[] = []
  const backups: { content: Content; deeds: number }[] = []

  function backUp(): void {
    backups.push({ content: copy(content), deeds: deeds.length })
    if (backups.length > backupsKept) backups.shift()
  }

  function openWriter(feedId: string, resource: string): SynchronousWriter {
    const find = () => content.feeds.get(feedId)
    let claimed = ''
    return {
      claim(owner, leaseMs): ClaimAnswer {
        meetServer()
        const old = find()
        const isLeased = old !== undefined && old.until > now()
        if (isLeased && old.owner !== owner) return { held: true, owner: old.owner, msLeft: old.until - now() }
        const fence = isLeased ? old.fence : (old?.fence ?? 0) + 1
        const feed: FeedRecord = {
          ...(old ?? { batch: 0, rv: '', note: '', from: 0, to: 0 }),
          owner,
          until: now() + leaseMs,
          fence,
        }
        content.feeds.set(feedId, feed)
        claimed = content.epoch
        return {
          held: false,
          fence: String(fence),
          epoch: content.epoch,
          seq: content.seq,
          batch: feed.batch,
          resourceVersion: feed.rv,
          note: feed.note,
        }
      },
      append(batch): AppendAnswer {
        const feed = find()
        if (feed === undefined || String(feed.fence) !== batch.fence) return { outcome: 'fenced' }
        if (content.epoch !== batch.epoch || content.server !== server) return { outcome: 'epoch' }
        if (feed.batch === batch.batch) return { outcome: 'duplicate', from: feed.from, to: feed.to }
        if (feed.batch + 1 !== batch.batch) return { outcome: 'conflict' }
        if (content.seq < batch.seen) return { outcome: 'conflict' }
        backUp()
        const from = content.seq + 1
        for (const operation of batch.operations) apply(resource, operation, batch)
        trim(content.seq - from + 1)
        const to = content.seq
        const { resourceVersion: rv, note } = batch
        content.feeds.set(feedId, { ...feed, batch: batch.batch, rv, note, from, to })
        deeds.push({ type: 'append', at: now(), feed: feedId, resource, batch, epoch: content.epoch, from, to })
        log.onAppend()
        return { outcome: 'ok', from, to }
      },
      release(fence) {
        const feed = find()
        if (feed !== undefined && String(feed.fence) === fence) content.feeds.set(feedId, { ...feed, until: 0 })
      },
      renewEpoch(fence) {
        const feed = find()
        if (feed === undefined || String(feed.fence) !== fence || content.epoch !== claimed) return
        content.epoch = createEpoch()
        content.past = ''
        deeds.push({ type: 'epoch', at: now(), epoch: content.epoch })
        log.onAppend()
      },
    }
  }

  /** On another server than the log was written on, a new epoch begins; a reader of the old one may go on up to here. */
  function meetServer(): void {
    if (content.epoch !== '' && content.server === server) return
    const isMoved = content.epoch !== '' && content.server !== ''
    const past = [...content.past.matchAll(/(\S+) (\S+)/g)]
      .filter(([, , last]) => Number(last) >= content.first - 1)
      .map(([pair]) => pair)
    if (isMoved) past.unshift(`${content.epoch} ${content.seq}`)
    content.past = past.slice(0, 50).join(' ')
    content.server = server
    if (content.epoch !== '' && !isMoved) return
    content.epoch = createEpoch()
    if (isMoved) deeds.push({ type: 'epoch', at: now(), epoch: content.epoch })
  }

  /** Removes what is no longer to be kept, but no more than a bounded number of entries. */
  function trim(added: number): void {
    const most = Math.max(content.first, Math.min(content.seq, content.first + 1000 + 2 * added))
    const oldest = keepMs === undefined ? '' : new Date(now() - keepMs).toISOString()
    const isKept = (seq: number) => {
      const entry = content.entries.get(seq)
      if (entry === undefined || content.bytes - entry.before > keepBytes) return false
      return (/"time":"([^"]+)"/.exec(entry.json)?.[1] ?? '') >= oldest
    }
    let first = Math.min(most, Math.max(content.first, content.seq - keepEntries + 1))
    while (first < most && !isKept(first)) first++
    for (; content.first < first; content.first++) content.entries.delete(content.first)
  }

  function apply(resource: string, operation: Batch['operations'][number], batch: Batch): void {
    switch (operation.op) {
      case 'event':
        content.entries.set(++content.seq, { json: operation.json, before: content.bytes })
        content.bytes += encoder.encode(operation.json).length
        return
      case 'set':
        objectsOf(resource).set(operation.key, { seq: content.seq, record: readRecord(operation, batch) })
        return
      case 'delete':
        objectsOf(resource).delete(operation.key)
        return
      case 'hold':
        content.holds.add(`${operation.holder}\n${operation.key}`)
        return
      case 'term':
        addTerm(`lease ${operation.key}`, operation)
        addTerm(`holder ${operation.holder}`, operation)
        content.holds.delete(`${operation.holder}\n${operation.key}`)
    }
  }

  function addTerm(list: string, { term, keep }: Extract<Batch['operations'][number], { op: 'term' }>): void {
    const oldest = new Date(now() - keep.ms).toISOString()
    const terms = [{ seq: content.seq, term }, ...(content.terms.get(list) ?? [])].slice(0, keep.count)
    const endOf = (one: string) => /"to":"([^"]+)"/.exec(one)?.[1] ?? oldest
    while (terms.length > 0 && endOf(terms.at(-1)?.term ?? '') < oldest) terms.pop()
    content.terms.set(list, terms)
  }

  function readTerms<Term>(list: string): StoredTerm<Term>[] {
    return (content.terms.get(list) ?? []).map(({ seq, term }) => ({ seq, term: JSON.parse(term) as Term }))
  }

  function objectsOf(resource: string): Map<string, { seq: number; record: string }> {
    const found = content.objects.get(resource)
    if (found !== undefined) return found
    const created = new Map<string, { seq: number; record: string }>()
    content.objects.set(resource, created)
    return created
  }

  const state: SynchronousState = {
    get<Data>(resource: string, namespace: string, name: string) {
      const key = `${namespace}/${name}`
      const stored = content.objects.get(resource)?.get(key)
      return stored === undefined ? undefined : toStored<Data>(key, stored)
    },
    page<Data>(resource: string, { namespace, after, limit }: Parameters<StateReader['page']>[1]) {
      const isWanted = (key: string) =>
        (namespace === undefined || key.startsWith(`${namespace}/`)) && (after === undefined || key > after)
      const all = [...(content.objects.get(resource) ?? [])]
      const objects = all
        .filter(([key]) => isWanted(key))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([key, stored]) => toStored<Data>(key, stored))
      const page: StatePage<Data> = { position: { epoch: content.epoch, seq: content.seq }, objects }
      const last = objects.at(-1)
      if (last !== undefined && objects.length === limit) page.next = last.key
      return page
    },
    find: <Data>(resource: string, keys: readonly string[]) =>
      keys.flatMap((key) => {
        const stored = content.objects.get(resource)?.get(key)
        return stored === undefined ? [] : [toStored<Data>(key, stored)]
      }),
    terms: <Term>(namespace: string, name: string) => readTerms<Term>(`lease ${namespace}/${name}`),
    heldTerms: <Term>(holder: string) => readTerms<Term>(`holder ${holder}`),
    holds: (holder, limit) =>
      [...content.holds]
        .filter((member) => member.startsWith(`${holder}\n`))
        .map((member) => member.slice(holder.length + 1))
        .filter((key) => !key.includes('\n'))
        .toSorted()
        .slice(0, limit),
  }

  const log: SimulatedLog = {
    openWriter,
    state,
    meta: () => ({ epoch: content.epoch, seq: content.seq, first: content.first, past: content.past }),
    beginEpoch(epoch) {
      if (content.epoch === '') content.epoch = epoch
    },
    read(after, limit) {
      const found: { seq: number; json: string }[] = []
      for (let seq = Math.max(after + 1, content.first); seq <= content.seq && found.length < limit; seq++) {
        found.push({ seq, json: content.entries.get(seq)?.json ?? '' })
      }
      return found
    },
    cursorOf: (feed) => content.feeds.get(feed)?.rv ?? '',
    rewind(appends) {
      const backup = backups.at(-appends)
      if (backup === undefined) return false
      server = `server-${++servers}`
      content = copy(backup.content)
      backups.length = Math.max(0, backups.length - appends)
      deeds.push({ type: 'rewind', at: now(), deeds: backup.deeds, seq: content.seq, epoch: content.epoch })
      log.onAppend()
      return true
    },
    forgetBackups() {
      backups.length = 0
    },
    restart() {
      server = `server-${++servers}`
    },
    onAppend: () => undefined,
    deeds,
  }
  return log
}

function copy(content: Content): Content {
  return {
    ...content,
    entries: new Map(content.entries),
    feeds: new Map(content.feeds),
    objects: new Map([...content.objects].map(([resource, objects]) => [resource, new Map(objects)])),
    terms: new Map(content.terms),
    holds: new Set(content.holds),
  }
}

function toStored<Data>(key: string, { seq, record }: { seq: number; record: string }): StoredObject<Data> {
  const { kept, ...data } = JSON.parse(record) as Data & { kept?: unknown }
  return { key, seq, data: data as Data, ...(kept === undefined ? {} : { kept }) }
}

/** As the script does: where a record travels inside of an event of the batch, that alone counts. */
function readRecord({ record, within }: Extract<Batch['operations'][number], { op: 'set' }>, batch: Batch): string {
  if (within === undefined || !batch.operations.includes(within.event)) return record
  const json = Buffer.from(within.event.json)
  const from = json.indexOf('"data":') + '"data":'.length
  return `${json.toString('utf8', from, from + within.bytes - 1)}}`
}
