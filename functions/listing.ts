import { readCursor } from '../shared/cursor.ts'
import { invalid } from '../shared/errors.ts'
import type { ObjectData } from '../shared/event.ts'
import { compilePattern, listExact } from '../shared/filter/pattern.ts'
import { compileLabelSelector } from '../shared/filter/selector.ts'
import type { Bounds, LogReader } from '../shared/log/reader.ts'
import type { StatePage, StateReader, StoredObject } from '../shared/state.ts'

/** What a listing may be narrowed by; the values of one clause are joined by "or". Namespaces and names are patterns, as in filters of events. */
export interface ListingQuery {
  readonly namespace?: readonly string[] | undefined
  readonly name?: readonly string[] | undefined
  readonly labelSelector?: string | undefined
  readonly limit: number
  readonly continue?: string | undefined
}

/** What listings are narrowed by. */
type Listed = Pick<ObjectData, 'namespace' | 'name' | 'labels'>

/** A page of objects. */
export interface Listing<Data> {
  items: Data[]
  /** Where the first page of this listing was read: what changed later is in the log after it. */
  cursor: string
  /** Absent on the last page. */
  next?: string
}

/** How many objects one request looks at; a page that finds less than it may says where to go on. */
const scanLimit = 5_000

/**
 * Lists current objects of a resource in order of their keys.
 * @param keys where those that may be meant are known: only these are looked at.
 * @throws RelayError `invalid` for a selector or a continuation that makes no sense.
 */
export async function listObjects<Data extends Listed>(
  deps: { state: StateReader; reader: LogReader },
  resource: string,
  query: ListingQuery,
  accepts: (data: Data) => boolean = () => true,
  keys?: readonly string[],
): Promise<Listing<Data>> {
  const selects = query.labelSelector === undefined ? () => true : compileLabelSelector(query.labelSelector)
  const names = compilePattern(query.name ?? [])
  const within = compilePattern(query.namespace ?? [])
  const bounds = await deps.reader.bounds()
  const resumed = query.continue === undefined ? undefined : readContinuation(query.continue, bounds)
  const cursor = resumed?.cursor ?? headOf(bounds)
  const pages =
    keys === undefined
      ? scan<Data>(deps.state, resource, query, resumed?.key)
      : lookUp<Data>(deps.state, resource, keys, resumed?.key)
  const items: Data[] = []
  let scanned = 0
  for await (const page of pages) {
    for (const { key, data } of page) {
      scanned++
      const isNamed = within.test(data.namespace) && names.test(data.name)
      if (isNamed && selects(data.labels) && accepts(data)) items.push(data)
      if (items.length === query.limit || scanned >= scanLimit) {
        return { items, cursor, next: writeContinuation(cursor, key) }
      }
    }
  }
  return { items, cursor }
}

/** All objects behind a key, or those of the namespaces that are named. */
async function* scan<Data>(
  state: StateReader,
  resource: string,
  query: ListingQuery,
  after: string | undefined,
): AsyncGenerator<StoredObject<Data>[]> {
  const exact = listExact(query.namespace)
  const limit = Math.min(1_000, Math.max(query.limit, query.name === undefined ? 0 : 500))
  for (const namespace of exact === undefined ? [undefined] : sortNamespaces(exact)) {
    if (namespace !== undefined && after !== undefined && isDone(namespace, after)) continue
    let place = namespace === undefined || after?.startsWith(`${namespace}/`) ? after : undefined
    do {
      const page: StatePage<Data> = await state.page<Data>(resource, {
        limit,
        ...(namespace === undefined ? {} : { namespace }),
        ...(place === undefined ? {} : { after: place }),
      })
      yield page.objects
      place = page.next
    } while (place !== undefined)
  }
}

/** The objects of these keys. */
async function* lookUp<Data>(
  state: StateReader,
  resource: string,
  keys: readonly string[],
  after = '',
): AsyncGenerator<StoredObject<Data>[]> {
  const rest = [...new Set(keys)].filter((key) => key > after).sort()
  for (let at = 0; at < rest.length; at += 500) yield await state.find<Data>(resource, rest.slice(at, at + 500))
}

/** The log's end, for an answer that is read after it. */
export async function readHead(reader: LogReader): Promise<string> {
  return headOf(await reader.bounds())
}

function headOf({ epoch, last, seal }: Bounds): string {
  return seal.toCursor({ epoch, seq: last })
}

/** In the order of their keys, in which `a-b/x` comes before `a/x`. */
function sortNamespaces(namespaces: readonly string[]): string[] {
  return [...new Set(namespaces)].sort((a, b) => (`${a}/` < `${b}/` ? -1 : 1))
}

/** True when a key lies behind all of a namespace: `0` follows `/`. */
function isDone(namespace: string, key: string): boolean {
  return key >= `${namespace}0`
}

function writeContinuation(cursor: string, key: string): string {
  return btoa(`${cursor} ${key}`).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function readContinuation(text: string, bounds: Bounds): { cursor: string; key: string } {
  const match = /^([A-Za-z0-9_-]{1,1024})$/.test(text) ? /^(\S+) (\S+)$/.exec(decode(text)) : null
  const [, cursor, key] = match ?? []
  if (cursor === undefined || key === undefined) throw invalid('continue', 'not the `next` of a page before')
  readCursor(cursor, bounds, 'continue')
  return { cursor, key }
}

function decode(text: string): string {
  try {
    return atob(text.replaceAll('-', '+').replaceAll('_', '/'))
  } catch (error) {
    throw invalid(
      'continue',
      `not the \`next\` of a page before (${error instanceof Error ? error.name : 'unreadable'})`,
    )
  }
}
