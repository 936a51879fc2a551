import type { Resource } from './resources.ts'

/** What a URL path below `/api` or `/apis` names. */
export interface Route {
  resource: Resource
  namespace: string
  name: string
  subresource: string
  /** The deprecated `/watch/` prefix. */
  isWatchPath: boolean
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

/** Reads a path; undefined for everything that is no resource this server knows. */
export function parseRoute(resources: readonly Resource[], path: string): Route | undefined {
  const segments = path
    .split('/')
    .filter((segment) => segment !== '')
    .map(decode)
  const isCore = segments[0] === 'api'
  if (!isCore && segments[0] !== 'apis') return undefined
  const group = isCore ? '' : (segments[1] ?? '')
  const version = segments[isCore ? 1 : 2] ?? ''
  let rest = segments.slice(isCore ? 2 : 3)
  const isWatchPath = rest[0] === 'watch'
  if (isWatchPath) rest = rest.slice(1)
  const find = (plural: string | undefined, namespaced?: boolean) =>
    resources.find(
      (row) =>
        row.group === group &&
        row.version === version &&
        row.plural === plural &&
        (namespaced === undefined || row.namespaced === namespaced),
    )
  if (rest[0] === 'namespaces' && rest.length >= 3) {
    const resource = find(rest[2], true)
    if (resource !== undefined && rest.length <= 5) {
      return { resource, namespace: rest[1] ?? '', name: rest[3] ?? '', subresource: rest[4] ?? '', isWatchPath }
    }
    if (!isCore) return undefined
  }
  const resource = find(rest[0])
  if (resource === undefined || rest.length > 3) return undefined
  // A namespaced object has no address without its namespace; only its collection does.
  if (resource.namespaced && rest.length > 1) return undefined
  return { resource, namespace: '', name: rest[1] ?? '', subresource: rest[2] ?? '', isWatchPath }
}

/** The RBAC verb of a request; undefined for a method that the path cannot have. */
export function verbOf(method: string, route: Route, isWatch: boolean): string | undefined {
  const hasName = route.name !== ''
  switch (method) {
    case 'GET':
    case 'HEAD':
      if (isWatch || route.isWatchPath) return 'watch'
      return hasName ? 'get' : 'list'
    case 'POST':
      return hasName && route.subresource === '' ? undefined : 'create'
    case 'PUT':
      return hasName ? 'update' : undefined
    case 'PATCH':
      return hasName ? 'patch' : undefined
    case 'DELETE':
      return hasName ? 'delete' : 'deletecollection'
    default:
      return undefined
  }
}
