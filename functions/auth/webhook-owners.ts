import type { Context, MiddlewareHandler } from 'hono'
import { isCovered } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import { parseFilter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import type { Keys } from '../../shared/keys.ts'
import { type RedisClient, toRecord } from '../../shared/redis.ts'
import type { AppEnv } from '../deps.ts'
import type { Authenticator, Caller } from './authenticator.ts'
import { requireAction } from './guard.ts'

/**
 * Keeps webhooks apart: whoever registered one is its owner, and to everybody else it is not there. What it is sent is what
 * its filter says, so that a filter has to name what its owner may see.
 */
export function guardWebhooks(deps: {
  authenticator: Authenticator
  redis: RedisClient
  keys: Keys
}): MiddlewareHandler<AppEnv> {
  const { authenticator, redis } = deps
  const place = deps.keys.own('webhook-owners')
  return async (c, next) => {
    if (!authenticator.isNeeded) return next()
    const caller = c.get('caller')
    requireAction(caller, 'webhooks')
    c.set('maySee', async (resource, namespace) => {
      const grants = await authenticator.grant(caller, { resource: [resource], namespace: [namespace] })
      return isCovered(grants, resource, namespace)
    })
    const id = c.req.path.split('/')[3]
    if (id !== undefined && (await redis.call('HGET', place, id)) !== caller.tenant) {
      throw new RelayError('not_found', `There is no webhook ${id}.`)
    }
    if (id === undefined && c.req.method === 'GET') {
      const owners = toRecord(await redis.call('HGETALL', place))
      c.set('ownsWebhook', (webhook) => owners[webhook] === caller.tenant)
    }
    if (c.req.method === 'POST' || c.req.method === 'PATCH') await requireSeen(c, caller, authenticator)
    await next()
    if (id === undefined && c.req.method === 'POST' && c.res.status === 201) {
      const created = c.res.headers.get('location')?.split('/').at(-1) ?? ''
      await redis.call('HSET', place, created, caller.tenant)
    } else if (c.req.method === 'DELETE' && c.res.ok && c.req.path.split('/').length === 4) {
      await redis.call('HDEL', place, id ?? '')
    }
  }
}

/** @throws RelayError `forbidden` when a filter would tell more than its owner may see. */
async function requireSeen(c: Context<AppEnv>, caller: Caller, authenticator: Authenticator): Promise<void> {
  const body: unknown = await c.req.json().catch(() => undefined)
  const isNew = c.req.method === 'POST' && c.req.path.split('/').length === 3
  // What is no object, the route refuses by itself.
  if (typeof body !== 'object' || body === null || !(isNew || 'filter' in body)) return
  const given = 'filter' in body ? body.filter : {}
  if (typeof given !== 'object' || given === null) return
  const filter = parseFilter({ ...given }, 'filter.')
  const grants = await authenticator.grant(caller, filter)
  if (grants.some(({ resources, namespaces }) => resources.includes('*') && namespaces.includes('*'))) return
  const resources = listExact(filter.resource) ?? []
  const namespaces = listExact(filter.namespace) ?? ['']
  const isSeen =
    resources.length > 0 &&
    resources.every((resource) => namespaces.every((namespace) => isCovered(grants, resource, namespace)))
  if (isSeen) return
  throw new RelayError('forbidden', 'filter: name the resources and the namespaces, of those that you may see.', {
    field: 'filter',
  })
}
