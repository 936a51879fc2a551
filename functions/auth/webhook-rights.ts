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
  const review = async (webhook: Webhook, recall: Authenticator['recall']) => {
    const { id, owner, filter } = webhook
    const caller = owner === undefined ? undefined : await recall(owner)
    if (caller?.actions.includes('webhooks') && (await maySeeAll(authenticator, caller, filter))) return
    const at = now().getTime()
    const judged = JSON.stringify(webhook)
    const changed = await store.update(id, (current) =>
      JSON.stringify(current) === judged ? switchWebhook(current, false, { reason: 'forbidden', at }) : current,
    )
    if (changed?.enabled === false) log.warn({ webhook: id }, 'the owner of a webhook may not see its events')
  }
  return async () => {
    if (!authenticator.isNeeded) return
    // Owners of many webhooks are asked about once.
    const callers = new Map<string, Promise<Caller | undefined>>()
    const recall = (owner: Owner) => {
      const key = JSON.stringify(owner)
      const caller = callers.get(key) ?? authenticator.recall(owner)
      callers.set(key, caller)
      return caller
    }
    const tell = (error: unknown) => log.debug({ err: error }, 'the owner of a webhook cannot be reviewed')
    try {
      const owned = (await store.all()).filter(({ enabled, owner }) => enabled && owner !== undefined)
      await Promise.all(owned.map((webhook) => review(webhook, recall).catch(tell)))
    } catch (error) {
      tell(error)
    }
  }
}

/** Reads the filter of a request's body, if it has one that can be read. */
export function readGivenFilter(body: unknown): Filter | undefined {
  if (typeof body !== 'object' || body === null || !('filter' in body)) return undefined
  const { filter } = body
  return typeof filter === 'object' && filter !== null ? parseFilter({ ...filter }, 'filter.') : undefined
}
