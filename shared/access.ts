import { invalid, RelayError } from './errors.ts'
import type { Filter } from './filter/filter.ts'
import { compilePattern, listExact } from './filter/pattern.ts'

/** What somebody may do: read events and current state, or manage webhooks. */
export const actions = ['read', 'webhooks'] as const

export type Action = (typeof actions)[number]

/** Resources in namespaces, each a list of exact names or of names with a trailing `*`. */
export interface Grant {
  readonly resources: readonly string[]
  readonly namespaces: readonly string[]
}

/** All that there is. */
export const everything: Grant = { resources: ['*'], namespaces: ['*'] }

const grantItem = /^(?:\*|[a-z0-9][-a-z0-9.]{0,252}\*?)$/

/**
 * Reads the names of a grant from untrusted input.
 * @throws RelayError `invalid`, naming the field.
 */
export function parseGrantItems(value: unknown, field: string): string[] {
  const items = typeof value === 'string' ? value.split(/[\s,]+/) : value
  if (!Array.isArray(items) || items.length === 0 || items.length > 100) {
    throw invalid(field, 'must be a list of 1 to 100 names')
  }
  for (const item of items) {
    if (typeof item !== 'string' || !grantItem.test(item)) {
      throw invalid(field, `${JSON.stringify(item)} is no name; write * for all, or team-* for all that begin so`)
    }
  }
  return items
}

/** True when some grant holds for this resource and namespace. */
export function isCovered(grants: readonly Grant[], resource: string, namespace: string): boolean {
  return grants.some(
    ({ resources, namespaces }) =>
      compilePattern(resources).test(resource) && compilePattern(namespaces).test(namespace),
  )
}

/**
 * Narrows a filter to what its owner may see. What is not named is left out silently; what is named and not granted is
 * refused.
 * @param watched all resources that there are.
 * @throws RelayError `forbidden`, saying what to name or to leave out.
 */
export function narrowFilter(filter: Filter, grants: readonly Grant[], watched: readonly string[]): Filter {
  const isAll = grants.some(({ resources, namespaces }) => resources.includes('*') && namespaces.includes('*'))
  if (isAll) return filter
  const wanted = compilePattern(filter.resource ?? [])
  const named = new Set(listExact(filter.resource))
  const narrowed = new Map<string, string[] | undefined>()
  for (const resource of watched.filter(wanted.test)) {
    const granted = grants
      .filter(({ resources }) => compilePattern(resources).test(resource))
      .flatMap(({ namespaces }) => namespaces)
    const namespaces = granted.length === 0 ? 'none' : intersect(filter.namespace, granted)
    if (namespaces !== 'none') narrowed.set(resource, namespaces)
    else if (named.has(resource)) throw forbid(`Not allowed to see ${resource}${describe(filter.namespace)}.`)
  }
  const [first, ...others] = narrowed
  if (first === undefined) throw forbid(`Not allowed to see anything of this${describe(filter.namespace)}.`)
  const isUniform = others.every(([, namespaces]) => String(namespaces) === String(first[1]))
  if (!isUniform) throw forbid('What may be seen differs by resource: name one in `resource`, or a `namespace`.')
  const { namespace: _, ...rest } = filter
  return { ...rest, resource: [...narrowed.keys()], ...(first[1] === undefined ? {} : { namespace: first[1] }) }
}

/** The namespaces that are both wanted and granted; undefined is all of them. */
function intersect(wanted: string[] | undefined, granted: string[]): string[] | undefined | 'none' {
  if (granted.includes('*')) return wanted
  if (wanted === undefined) return granted
  const grant = compilePattern(granted)
  const includes = wanted.filter((item) => !item.startsWith('!'))
  const excludes = wanted.filter((item) => item.startsWith('!'))
  if (includes.length === 0) return [...granted, ...excludes]
  if (listExact(includes) !== undefined) {
    const denied = includes.filter((item) => !grant.test(item))
    return denied.length === 0 ? wanted : 'none'
  }
  if (listExact(granted) !== undefined) {
    const kept = granted.filter(compilePattern(wanted).test)
    return kept.length === 0 ? 'none' : kept
  }
  // A pattern is within another when all that it matches is: `team-a*` within `team-*`.
  const isWithin = includes.every((item) => grant.test(item) && (!item.endsWith('*') || granted.some(holds(item))))
  return isWithin ? wanted : 'none'
}

function holds(item: string): (granted: string) => boolean {
  return (granted) => granted.endsWith('*') && item.startsWith(granted.slice(0, -1))
}

function describe(namespaces: readonly string[] | undefined): string {
  return namespaces === undefined ? ' in all namespaces; name those that you may' : ` in ${namespaces.join(', ')}`
}

function forbid(message: string): RelayError {
  return new RelayError('forbidden', message)
}
