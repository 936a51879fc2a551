import { invalid } from '../errors.ts'
import { gapType, type RelayEvent } from '../event.ts'
import { type Clause, compileClauses, compileSelectors, type Scope } from './clauses.ts'
import { compileFieldSelector } from './field-selector.ts'
import { compileLabelSelector } from './selector.ts'
import { parseValues } from './values.ts'
import { compileWhere } from './where.ts'

export type { Scope } from './clauses.ts'

/**
 * What a subscription or a webhook wants, the same names in a query string and in JSON. Clauses are joined by "and", the
 * values of one clause by "or"; a clause that is absent lets everything through. In lists (but those of phases) a trailing
 * `*` matches any ending and a leading `!` excludes.
 */
export interface Filter {
  /** Plural resource names: `pods`, `leases`. */
  resource?: string[]
  /** Event types: `k8s.pod.deleted`, `k8s.pod.*`. */
  type?: string[]
  namespace?: string[]
  name?: string[]
  /** A Pod's phase after the change. */
  phase?: string[]
  /** Only changes *into* one of these phases; */
  'phase.to'?: string[]
  /** only changes *out of* one of these. */
  'phase.from'?: string[]
  /** The word in kubectl's STATUS column: `CrashLoopBackOff`. */
  status?: string[]
  /** The node that a Pod is bound to. */
  node?: string[]
  /** Who holds a Lease, or held it until this change. */
  holder?: string[]
  /** Kinds of change that the event must report at least one of: `restarted`, `transferred`. */
  change?: string[]
  /** The container that the change is about; with `change` and `reason`, of one and the same change. */
  container?: string[]
  /** Why: `OOMKilled`, `CrashLoopBackOff`, `Evicted`. */
  reason?: string[]
  /** Kubernetes' syntax. An object that leaves the selector is told as well, with `scope: left`. */
  labelSelector?: string
  /** Kubernetes' syntax, over names, `spec.nodeName`, `status.phase` and a few more; `scope` as for labels. */
  fieldSelector?: string
  /** CEL over `event`, `data` and `old`; see `compileWhere`. */
  where?: string
}

const lists = [
  'resource',
  'type',
  'namespace',
  'name',
  'phase',
  'phase.to',
  'phase.from',
  'status',
  'node',
  'holder',
  'change',
  'container',
  'reason',
] as const

/** Clauses that are one text, and what refuses a bad one. */
const texts = {
  labelSelector: compileLabelSelector,
  fieldSelector: compileFieldSelector,
  where: compileWhere,
} as const

/** All names that a filter may use. */
export const filterNames: readonly string[] = [...lists, ...Object.keys(texts)]

/** Answers for one event; undefined when the filter stops it. */
export type Matcher = (event: RelayEvent) => Scope | undefined

/**
 * Reads a filter from untrusted input: of each name a string, a comma-separated string, or a list of strings; selectors and
 * `where` are one string.
 * @throws RelayError `invalid` or `unprocessable`, naming the clause.
 */
export function parseFilter(input: Readonly<Record<string, unknown>>, path = ''): Filter {
  const filter: Filter = {}
  for (const [name, value] of Object.entries(input)) {
    if (value === undefined) continue
    const field = `${path}${name}`
    if (isText(name)) {
      if (typeof value !== 'string') throw invalid(field, 'must be one string')
      if (value.length > 4096) throw invalid(field, 'at most 4096 characters')
      texts[name](value, field)
      filter[name] = value
    } else if (isList(name)) {
      filter[name] = parseValues(value, name, field)
    } else {
      throw invalid(field, `no such filter; there are ${filterNames.join(', ')}`)
    }
  }
  return filter
}

function isText(name: string): name is keyof typeof texts {
  return Object.hasOwn(texts, name)
}

function isList(name: string): name is (typeof lists)[number] {
  return (lists as readonly string[]).includes(name)
}

/**
 * Compiles a filter into one function. Gap records pass every clause, since history that was lost is never hidden; but a
 * collection of one namespace lost nothing that a filter for others could have let through.
 */
export function compileFilter(filter: Filter): Matcher {
  const clauses = compileClauses(filter)
  const selectors = compileSelectors(filter)
  const ofNamespace = clauses.find(({ name }) => name === 'namespace')
  return (event) => {
    if (event.type === gapType) return event.data.namespace && ofNamespace?.test(event) === false ? undefined : 'in'
    for (const clause of clauses) if (!clause.test(event)) return undefined
    return selectors === undefined ? 'in' : selectors.scopeOf(event)
  }
}

/** The clauses, each as one text, in order: the same for filters that mean the same by their words. */
export function listClauses(filter: Filter): string[] {
  return Object.entries(filter)
    .map(([name, value]) => JSON.stringify([name, Array.isArray(value) ? [...new Set(value)].sort() : value]))
    .sort()
}

/** What each clause says of an event, for people who ask why it came or did not. */
export function explainFilter(filter: Filter, event: RelayEvent): { clause: string; passes: boolean }[] {
  const told = ({ name, test }: Clause) => ({ clause: name, passes: test(event) })
  const selectors = compileSelectors(filter)
  return [
    ...compileClauses(filter).map(told),
    ...(selectors === undefined ? [] : [{ clause: selectors.name, passes: selectors.scopeOf(event) !== undefined }]),
  ]
}
