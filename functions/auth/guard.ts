import type { Context, MiddlewareHandler } from 'hono'
import { type Action, isCovered, narrowFilter } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Filter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import type { WatchedResource } from '../../shared/resource.ts'
import type { AppEnv } from '../deps.ts'
import { type Authenticator, type Caller, unauthorized } from './authenticator.ts'
import type { Tickets } from './tickets.ts'

/** Finds out who makes a request, before any route of `/v1` sees it. */
export function createIdentifier(authenticator: Authenticator, tickets: Tickets): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const ticket = authenticator.isNeeded && isStream(c) ? c.req.query('ticket') : undefined
    const caller = ticket === undefined ? await identify(c, authenticator) : await tickets.redeem(ticket)
    if (caller === undefined) throw unauthorized()
    c.set('caller', caller)
    await next()
  }
}

async function identify(c: Context<AppEnv>, authenticator: Authenticator): Promise<Caller> {
  if (!authenticator.isNeeded) return authenticator.identify(undefined)
  const header = c.req.header('authorization')
  const token = /^Bearer +(\S{1,8192})$/i.exec(header ?? '')?.[1]
  if (token === undefined) {
    throw new RelayError('unauthorized', 'Send your credential as `Authorization: Bearer …`.', {
      field: 'Authorization',
    })
  }
  return authenticator.identify(token)
}

/** Only what browsers open without headers of their own takes tickets. */
function isStream(c: Context<AppEnv>): boolean {
  return c.req.method === 'GET' && /^\/v1\/events(\/ws)?$/.test(c.req.path)
}

/** @throws RelayError `forbidden` when the caller may not do this. */
export function requireAction(caller: Caller, action: Action): void {
  if (!caller.actions.includes(action)) throw new RelayError('forbidden', `The credential is not for "${action}".`)
}

/** Narrows filters to what callers may see. */
export type Narrow = (caller: Caller, filter: Filter) => Promise<Filter>

/** @throws RelayError `forbidden`, from the answer. */
export function createNarrow(authenticator: Authenticator, watched: readonly WatchedResource[]): Narrow {
  const names = [...new Set(watched.map(({ resource }) => resource))]
  return async (caller, filter) => {
    if (!authenticator.isNeeded) return filter
    return narrowFilter(filter, await authenticator.grant(caller, filter), names)
  }
}

/** A Lease's holders are told across namespaces. */
const collections: Readonly<Record<string, string>> = { pods: 'pods', leases: 'leases', holders: 'leases' }

/**
 * Guards current state, as the cluster's own API does: an object of a namespace that one may not see is not there, and a
 * collection is for who may see all of it, or names the namespaces.
 */
export function createStateGuard(authenticator: Authenticator): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    const [, , collection = '', namespace] = c.req.path.split('/')
    const resource = collections[collection]
    if (!authenticator.isNeeded || resource === undefined) return next()
    const caller = c.get('caller')
    requireAction(caller, 'read')
    const isObject = namespace !== undefined && collection !== 'holders'
    const asked = isObject ? [decodeURIComponent(namespace)] : readNamespaces(c, collection)
    const wish = { resource: [resource], ...(asked === undefined ? {} : { namespace: asked }) }
    const grants = await authenticator.grant(caller, wish)
    const isAllowed = (asked ?? ['*']).every((item) =>
      item === '*' ? grants.some((grant) => isWhole(grant, resource)) : isCovered(grants, resource, item),
    )
    if (isAllowed) return next()
    if (isObject) throw new RelayError('not_found', `There is nothing at ${c.req.path}.`)
    throw new RelayError('forbidden', `Not allowed to see all ${resource}; name the namespaces that you may see.`, {
      field: 'namespace',
    })
  }
}

function isWhole(grant: { resources: readonly string[]; namespaces: readonly string[] }, resource: string): boolean {
  return grant.namespaces.includes('*') && isCovered([grant], resource, '')
}

function readNamespaces(c: Context<AppEnv>, collection: string): readonly string[] | undefined {
  if (collection === 'holders') return undefined
  return listExact(c.req.queries('namespace')?.flatMap((value) => value.split(',')))
}
