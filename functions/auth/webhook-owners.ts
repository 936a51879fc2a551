import type { MiddlewareHandler } from 'hono'
import { isCovered } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { WebhookStore } from '../../shared/webhook/store.ts'
import type { AppEnv } from '../deps.ts'
import type { Authenticator } from './authenticator.ts'
import { requireAction } from './guard.ts'
import { maySeeAll, readGivenFilter, toOwner } from './webhook-rights.ts'

/**
 * Keeps webhooks apart: whoever registered one is its owner, and to everybody else it is not there. Whoever may no longer see
 * what it is sent can still look at it, turn it off, and remove it.
 */
export function guardWebhooks(deps: { authenticator: Authenticator; store: WebhookStore }): MiddlewareHandler<AppEnv> {
  const { authenticator, store } = deps
  return async (c, next) => {
    if (!authenticator.isNeeded) return next()
    const caller = c.get('caller')
    requireAction(caller, 'webhooks')
    const owner = toOwner(authenticator, caller)
    c.set('owner', owner)
    c.set('maySee', async (resource, namespace) => {
      const grants = await authenticator.grant(caller, { resource: [resource], namespace: [namespace] })
      return isCovered(grants, resource, namespace)
    })
    const [, , , id, action] = c.req.path.split('/')
    const webhook = id === undefined ? undefined : await store.get(id)
    if (id !== undefined && webhook?.owner?.tenant !== caller.tenant) {
      throw new RelayError('not_found', `There is no webhook ${id}.`)
    }
    const isChange = c.req.method === 'POST' || c.req.method === 'PATCH'
    if (!isChange || action === 'disable') return next()
    // Elsewhere a body that names a filter changes nothing of what is sent.
    const takesFilter = id === undefined || action === undefined || action === 'replay'
    const given = takesFilter ? readGivenFilter(await c.req.json().catch(() => undefined)) : undefined
    if (!(await maySeeAll(authenticator, caller, given ?? webhook?.filter ?? {}))) {
      const message =
        given === undefined && webhook !== undefined
          ? 'You may not see all that this webhook is sent; change its filter first.'
          : 'filter: name the resources and the namespaces, of those that you may see.'
      throw new RelayError('forbidden', message, { field: 'filter' })
    }
    await next()
    // Its next review asks what the owner may see as of now.
    const isKnown = webhook === undefined || JSON.stringify(webhook.owner) === JSON.stringify(owner)
    if (!isKnown && c.res.ok) await store.update(webhook.id, (current) => ({ ...current, owner }))
  }
}
