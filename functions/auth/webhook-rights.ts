import { isCovered } from '../../shared/access.ts'
import { type Filter, parseFilter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import type { Logger } from '../../shared/role.ts'
import type { WebhookStore } from '../../shared/webhook/store.ts'
import { type Owner, switchWebhook, type Webhook } from '../../shared/webhook/webhook.ts'
import type { Authenticator, Caller } from './authenticator.ts'

/** What a webhook keeps of the caller who registered it. */
export function toOwner(authenticator: Authenticator, caller: Caller): Owner {
  const { tenant, grants, proof } = authenticator.detach(caller)
  return { tenant, ...(grants === undefined ? {} : { grants }), ...(proof === undefined ? {} : { proof }) }
}

/**
 * Whether a caller may see all that a filter lets through. A webhook is sent what its filter says and nothing narrows it
 * later, so that the filter has to name what its owner may see.
 */
export async function maySeeAll(authenticator: Authenticator, caller: Caller, filter: Filter): Promise<boolean> {
  const grants = await authenticator.grant(caller, filter)
  if (grants.some(({ resources, namespaces }) => resources.includes('*') && namespaces.includes('*'))) return true
  const resources = listExact(filter.resource) ?? []
  const namespaces = listExact(filter.namespace) ?? ['']
  return (
    resources.length > 0 &&
    resources.every((resource) => namespaces.every((namespace) => isCovered(grants, resource, namespace)))
  )
}

/**
 * Creates what turns off the webhooks whose owners may no longer see what they are sent. Where that cannot be asked, they
 * stay as they are.
 */
export function createOwnerReview(deps: {
  authenticator: Authenticator
  store: WebhookStore
  log: Logger
  now: () => Date
}): () => Promise<void> {
  const { authenticator, store, log, now } = deps
  const mayKeep = async ({ owner, filter }: Webhook): Promise<boolean> => {
    const caller = owner === undefined ? undefined : await authenticator.recall(owner)
    return caller?.actions.includes('webhooks') === true && maySeeAll(authenticator, caller, filter)
  }
  const review = async (webhook: Webhook) => {
    if (await mayKeep(webhook)) return
    const at = now().getTime()
    const judged = JSON.stringify(webhook)
    const changed = await store.update(webhook.id, (current) =>
      JSON.stringify(current) === judged ? switchWebhook(current, false, { reason: 'forbidden', at }) : current,
    )
    if (changed?.enabled === false) log.warn({ webhook: webhook.id }, 'the owner of a webhook may not see its events')
  }
  return async () => {
    if (!authenticator.isNeeded) return
    try {
      const owned = (await store.all()).filter(({ enabled, owner }) => enabled && owner !== undefined)
      await Promise.all(owned.map(review))
    } catch (error) {
      log.debug({ err: error }, 'the owners of webhooks cannot be reviewed')
    }
  }
}

/** Reads the filter of a request's body, if it has one that can be read. */
export function readGivenFilter(body: unknown): Filter | undefined {
  if (typeof body !== 'object' || body === null || !('filter' in body)) return undefined
  const { filter } = body
  return typeof filter === 'object' && filter !== null ? parseFilter({ ...filter }, 'filter.') : undefined
}
