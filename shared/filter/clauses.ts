import { type Change, type EventData, type RelayEvent, resourceOf } from '../event.ts'
import { compileFieldSelector } from './field-selector.ts'
import type { Filter } from './filter.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import { readPrevious } from './previous.ts'
import { compileLabelSelector } from './selector.ts'
import { compileWhere } from './where.ts'

/** One condition of a filter, under the name of the clause (or clauses) that it stands for. */
export interface Clause {
  readonly name: string
  test(event: RelayEvent): boolean
}

/** How an event passed: `in`, or because the change moved the object into or out of a selector's scope. */
export type Scope = 'in' | 'entered' | 'left'

/** What may lie in a selector's scope. */
export interface Selectors {
  readonly name: string
  scopeOf(event: RelayEvent): Scope | undefined
}

/** Compiles all clauses but the selectors, the cheap ones first. */
export function compileClauses(filter: Filter): Clause[] {
  const clauses: Clause[] = []
  const add = (name: keyof Filter, read: (event: RelayEvent) => string) => {
    const values = filter[name]
    if (!Array.isArray(values)) return
    const pattern = compilePattern(values)
    clauses.push({ name, test: (event) => pattern.test(read(event)) })
  }
  add('resource', resourceOf)
  add('type', ({ type }) => type)
  add('namespace', ({ data }) => data.namespace ?? '')
  add('name', ({ data }) => data.name ?? '')
  add('phase', ({ data }) => readText(data.phase))
  add('status', ({ data }) => readText(data.status))
  add('node', ({ data }) => readText(data.node))
  if (filter.holder !== undefined) {
    const pattern = compilePattern(filter.holder)
    clauses.push({ name: 'holder', test: (event) => pattern.testAny(readHolders(event.data)) })
  }
  const ofChange = compileChange(filter)
  if (ofChange !== undefined) clauses.push(ofChange)
  for (const end of ['to', 'from'] as const) {
    const wanted = filter[`phase.${end}`]
    if (wanted === undefined) continue
    const set = new Set<unknown>(wanted)
    const test = ({ data }: RelayEvent) =>
      data.changes.some(({ type, [end]: phase }) => type === 'phase' && set.has(phase))
    clauses.push({ name: `phase.${end}`, test })
  }
  if (filter.where !== undefined) clauses.push({ name: 'where', test: compileWhere(filter.where) })
  return clauses
}

/** Compiles the label and field selectors; undefined where there is none. */
export function compileSelectors(filter: Filter): Selectors | undefined {
  const { labelSelector, fieldSelector } = filter
  if (labelSelector === undefined && fieldSelector === undefined) return undefined
  const ofLabels = compileLabelSelector(labelSelector ?? '')
  const ofFields = compileFieldSelector(fieldSelector ?? '')
  const selects = (data: Partial<EventData>) => ofLabels(data.labels ?? {}) && ofFields(data)
  const names = [labelSelector === undefined ? '' : 'labelSelector', fieldSelector === undefined ? '' : 'fieldSelector']
  return {
    name: names.filter((name) => name !== '').join(' and '),
    scopeOf(event) {
      const now = selects(event.data)
      // Whatever else changed is no matter of selectors.
      const isMoved = event.data.changes.some(({ type }) => movers.has(type)) && !event.type.endsWith('.added')
      if (!isMoved) return now ? 'in' : undefined
      const before = selects(readPrevious(event))
      if (now) return before ? 'in' : 'entered'
      return before ? 'left' : undefined
    },
  }
}

/** Changes of what selectors select by. */
const movers = new Set(['labels', 'phase', 'bound', 'acquired', 'released', 'transferred', 'expired'])

/** `change`, `container` and `reason` are of one and the same change. */
function compileChange(filter: Filter): Clause | undefined {
  const names = (['change', 'container', 'reason'] as const).filter((name) => filter[name] !== undefined)
  if (names.length === 0) return undefined
  const patterns = names.map((name) => [compilePattern(filter[name] ?? []), readers[name]] as const)
  const isWanted = (change: Change) =>
    patterns.every(([pattern, read]: readonly [Pattern, (change: Change) => string]) => pattern.test(read(change)))
  return { name: names.join(' and '), test: (event) => event.data.changes.some(isWanted) }
}

const readers: Readonly<Record<'change' | 'container' | 'reason', (change: Change) => string>> = {
  change: ({ type }) => type,
  container: ({ container }) => readText(container),
  reason: readReason,
}

/** Changes whose `to` is a reason. */
const reasoned = new Set(['waiting', 'unschedulable', 'disrupted', 'status'])

function readReason({ type, reason, to }: Change): string {
  if (type === 'evicted') return 'Evicted'
  return reasoned.has(type) ? readText(to) : readText(reason)
}

/** Who holds a Lease, and who held it before the change. */
function readHolders(data: EventData): string[] {
  const holders = [data.holder]
  for (const { type, from } of data.changes) {
    if (type === 'transferred' || type === 'released' || type === 'expired') holders.push(from)
  }
  return holders.filter((holder) => typeof holder === 'string')
}

function readText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
