import { suggest } from '../../shared/config/suggest.ts'
import type { WatchedResource } from '../../shared/resource.ts'
import type { ServedResource } from './discovery.ts'

/** What a configured resource is on a server, or why it is nothing there, in a sentence for the log and for readiness. */
export type Finding = { found: WatchedResource } | { problem: string }

/** Looks for a configured resource among those that the server has. */
export function findResource(served: readonly ServedResource[], asked: WatchedResource): Finding {
  const match = asked.version === '' ? findByName(served, asked.resource) : findExactly(served, asked)
  if (match === undefined) return { problem: `the server has no ${nameOf(asked)}.${adviseName(served, asked)}` }
  const missing = ['list', 'watch'].filter((verb) => !match.verbs.includes(verb))
  if (missing.length > 0)
    return { problem: `${nameOf(match)} cannot be watched: the server has no ${missing.join(' and ')} for it.` }
  if (asked.namespace !== undefined && !match.isNamespaced) {
    return { problem: `${nameOf(match)} is in no namespace: leave out namespace=${asked.namespace}.` }
  }
  const { group, version, resource, kind } = match
  return { found: { ...asked, group, version, resource, kind: kind.toLowerCase() } }
}

/** The server's order decides among groups, as for kubectl; a plural goes before a short name. */
function findByName(served: readonly ServedResource[], name: string): ServedResource | undefined {
  return served.find(({ resource }) => resource === name) ?? served.find(({ aliases }) => aliases.includes(name))
}

function findExactly(served: readonly ServedResource[], asked: WatchedResource): ServedResource | undefined {
  return served.find(
    ({ group, version, resource }) => group === asked.group && version === asked.version && resource === asked.resource,
  )
}

function adviseName(served: readonly ServedResource[], asked: WatchedResource): string {
  if (asked.version === '') return suggest(asked.resource, [...new Set(served.map(({ resource }) => resource))])
  const elsewhere = served.filter(({ resource }) => resource === asked.resource)
  const sameGroup = elsewhere.find(({ group }) => group === asked.group)
  const other = sameGroup ?? elsewhere[0]
  return other === undefined ? suggest(nameOf(asked), served.map(nameOf)) : ` Did you mean ${nameOf(other)}?`
}

function nameOf({ group, version, resource }: Pick<WatchedResource, 'group' | 'version' | 'resource'>): string {
  return [group, version, resource].filter(Boolean).join('/')
}
