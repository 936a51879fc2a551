import { invalid } from '../errors.ts'
import { gapType, type RelayEvent, resourceOf } from '../event.ts'
import { compileLabelSelector } from './selector.ts'

/**
 * What a subscription or a webhook wants, the same names in a query string and in JSON. Clauses are joined by "and", the
 * values of one clause by "or"; a clause that is absent lets everything through.
 */
export interface Filter {
  /** Plural resource names: `pods`, `leases`. */
  resource?: string[]
  /** Event types, `k8s.pod.deleted`; a trailing `*` matches any ending. */
  type?: string[]
  namespace?: string[]
  name?: string[]
  /** A Pod's phase after the change. */
  phase?: string[]
  /** Only changes *into* one of these phases; */
  'phase.to'?: string[]
  /** only changes *out of* one of these. */
  'phase.from'?: string[]
  /** Kinds of change that the event must report at least one of: `restarted`, `transferred`. */
  change?: string[]
  /** Kubernetes' syntax. An object that leaves the selector is told as well, with `scope: left`. */
  labelSelector?: string
}

const lists = ['resource', 'type', 'namespace', 'name', 'phase', 'phase.to', 'phase.from', 'change'] as const
const phases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown']

/** All names that a filter may use. */
export const filterNames: readonly string[] = [...lists, 'labelSelector']

/** How an event passed: `in`, or because the change moved the object into or out of the label selector's scope. */
export type Scope = 'in' | 'entered' | 'left'

/** Answers for one event; undefined when the filter stops it. */
export type Matcher = (event: RelayEvent) => Scope | undefined

/**
 * Reads a filter from untrusted input: of each name a string, a comma-separated string, or a list of strings.
 * @throws RelayError `invalid`, naming the clause.
 */
export function parseFilter(input: Readonly<Record<string, unknown>>, path = ''): Filter {
  const filter: Filter = {}
  for (const [name, value] of Object.entries(input)) {
    if (value === undefined) continue
    const field = `${path}${name}`
    if (name === 'labelSelector') {
      if (typeof value !== 'string') throw invalid(field, 'must be a string such as app=web,tier!=db')
      compileLabelSelector(value, field)
      filter.labelSelector = value
    } else if (isList(name)) {
      filter[name] = parseList(value, field)
    } else {
      throw invalid(field, `no such filter; there are ${filterNames.join(', ')}`)
    }
  }
  for (const name of ['phase', 'phase.to', 'phase.from'] as const) {
    for (const phase of filter[name] ?? []) {
      if (!phases.includes(phase))
        throw invalid(`${path}${name}`, `"${phase}" is no phase; one of ${phases.join(', ')}`)
    }
  }
  return filter
}

function isList(name: string): name is (typeof lists)[number] {
  return (lists as readonly string[]).includes(name)
}

function parseList(value: unknown, field: string): string[] {
  const items = typeof value === 'string' ? value.split(',') : value
  const isValid =
    Array.isArray(items) && items.length > 0 && items.every((item) => typeof item === 'string' && item !== '')
  if (!isValid) throw invalid(field, 'must be a value or a list of values, none of them empty')
  if (items.length > 100) throw invalid(field, 'at most 100 values')
  return items.map((item: string) => item.trim())
}

/** Compiles a filter into one function. Gap records pass every filter: history that was lost is never hidden. */
export function compileFilter(filter: Filter): Matcher {
  const clauses: ((event: RelayEvent) => boolean)[] = []
  const oneOf = (values: string[] | undefined, read: (event: RelayEvent) => unknown) => {
    if (values === undefined) return
    const set = new Set<unknown>(values)
    clauses.push((event) => set.has(read(event)))
  }
  oneOf(filter.resource, resourceOf)
  oneOf(filter.namespace, (event) => event.data.namespace)
  oneOf(filter.name, (event) => event.data.name)
  oneOf(filter.phase, (event) => event.data.phase)
  if (filter.type !== undefined) clauses.push(matchTypes(filter.type))
  if (filter.change !== undefined) {
    const kinds = new Set(filter.change)
    clauses.push((event) => event.data.changes.some((change) => kinds.has(change.type)))
  }
  for (const end of ['to', 'from'] as const) {
    const wanted = filter[`phase.${end}`]
    if (wanted === undefined) continue
    const set = new Set<unknown>(wanted)
    clauses.push((event) => event.data.changes.some((change) => change.type === 'phase' && set.has(change[end])))
  }
  const scopeOf = filter.labelSelector === undefined ? () => 'in' as const : matchLabels(filter.labelSelector)
  return (event) => {
    if (event.type === gapType) return 'in'
    return clauses.every((clause) => clause(event)) ? scopeOf(event) : undefined
  }
}

function matchTypes(types: string[]): (event: RelayEvent) => boolean {
  const exact = new Set(types.filter((type) => !type.endsWith('*')))
  const prefixes = types.filter((type) => type.endsWith('*')).map((type) => type.slice(0, -1))
  return (event) => exact.has(event.type) || prefixes.some((prefix) => event.type.startsWith(prefix))
}

function matchLabels(text: string): Matcher {
  const selects = compileLabelSelector(text)
  return (event) => {
    const labels = event.data.labels ?? {}
    const relabelled = event.data.changes.find((change) => change.type === 'labels')
    const now = selects(labels)
    if (relabelled === undefined) return now ? 'in' : undefined
    const before = selects(relabelled.from as Record<string, string>)
    if (now) return before ? 'in' : 'entered'
    return before ? 'left' : undefined
  }
}
