import type { Context, MiddlewareHandler } from 'hono'
import { getCookie } from 'hono/cookie'
import { type Action, isCovered, narrowFilter } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Filter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import type { WatchedResource } from '../../shared/resource.ts'
import type { AppEnv } from '../deps.ts'
import { type Authenticator, type Caller, unauthorized } from './authenticator.ts'
import type { Logins } from './logins.ts'
import { requireOrigin } from './origin.ts'
import type { Tickets } from './tickets.ts'

/** The name of the cookie that a login gives. */
export const loginCookie = 'relay-login'

/** @throws RelayError `unauthorized`; `unavailable` when it cannot be found out. */
export type Identify = (c: Context<AppEnv>) => Promise<Caller>

/**
 * Creates what finds out who makes a request: by a ticket, a credential, or the cookie of a login.
 * @param deps.origins of pages that may change something by a cookie, beside the relay's own.
 */
export function createIdentify(deps: {
  authenticator: Authenticator
  tickets: Tickets
  logins: Logins
  origins: readonly string[]
  now: () => Date
}): Identify {
  const { authenticator, tickets, logins, origins, now } = deps
  /** What a ticket was given for may have ended since. */
  const isStillGood = async (holder: Caller) => {
    if ((holder.expiresAt ?? Number.POSITIVE_INFINITY) <= now().getTime()) return false
    const ended = await logins.findEnded(holder.login === undefined ? [] : [holder.login])
    return ended.length === 0 && (await authenticator.isValid(holder))
  }
  return async (c) => {
    if (!authenticator.isNeeded) return authenticator.identify(undefined)
    const ticket = isStream(c) ? c.req.query('ticket') : undefined
    if (ticket !== undefined) {
      const holder = await tickets.redeem(ticket)
      if (holder === undefined || !(await isStillGood(holder))) throw unauthorized()
      return holder
    }
    const token = readBearer(c)
    if (token !== undefined) return authenticator.identify(token)
    const cookie = c.req.header('authorization') === undefined ? getCookie(c, loginCookie) : undefined
    if (cookie === undefined) {
      const message = isTooLong(c)
        ? `The credential is longer than ${longest} characters.`
        : 'Send your credential as `Authorization: Bearer …`.'
      throw new RelayError('unauthorized', message, { field: 'Authorization' })
    }
    if (c.req.method !== 'GET' && c.req.method !== 'HEAD') requireOrigin(c, origins)
    const login = await logins.find(cookie)
    if (login === undefined) throw unauthorized()
    const caller = await authenticator.identify(login.credential)
    return { ...caller, login: login.id, expiresAt: Math.min(login.until, caller.expiresAt ?? login.until) }
  }
}

/** Refuses requests of whoever is not known, before any route sees them. */
export function createIdentifier(identify: Identify): MiddlewareHandler<AppEnv> {
  return async (c, next) => {
    c.set('caller', await identify(c))
    await next()
  }
}

/** The credential that a request carries in its header. */
export function readBearer(c: Context): string | undefined {
  const token = findBearer(c)
  return token === undefined || token.length > longest ? undefined : token
}

/** Of a credential, in characters: tokens with a few hundred groups are shorter, and all headers together may have 16 KiB. */
const longest = 8192

function isTooLong(c: Context): boolean {
  return (findBearer(c)?.length ?? 0) > longest
}

function findBearer(c: Context): string | undefined {
  return /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
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
  return async (caller, filter) => {
    if (!authenticator.isNeeded) return filter
    // Anew each time: a short name turns into the plural when the server was asked.
    const names = [...new Set(watched.map(({ resource }) => resource))]
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
    const asked = isObject ? [decode(c, namespace)] : readNamespaces(c, collection)
    const wish = { resource: [resource], ...(asked === undefined ? {} : { namespace: asked }) }
    const grants = await authenticator.grant(caller, wish)
    const isAllowed = (asked ?? ['*']).every((item) =>
      item === '*' ? grants.some((grant) => isWhole(grant, resource)) : isCovered(grants, resource, item),
    )
    if (isAllowed) return next()
    if (isObject) throw nothingAt(c)
    throw new RelayError('forbidden', `Not allowed to see all ${resource}; name the namespaces that you may see.`, {
      field: 'namespace',
    })
  }
}

function decode(c: Context<AppEnv>, part: string): string {
  try {
    return decodeURIComponent(part)
  } catch (error) {
    if (error instanceof URIError) throw nothingAt(c)
    throw error
  }
}

function nothingAt(c: Context<AppEnv>): RelayError {
  return new RelayError('not_found', `There is nothing at ${c.req.path}.`)
}

function isWhole(grant: { resources: readonly string[]; namespaces: readonly string[] }, resource: string): boolean {
  return grant.namespaces.includes('*') && isCovered([grant], resource, '')
}

function readNamespaces(c: Context<AppEnv>, collection: string): readonly string[] | undefined {
  if (collection === 'holders') return undefined
  return listExact(c.req.queries('namespace')?.flatMap((value) => value.split(',')))
}
