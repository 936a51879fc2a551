import { type ApiKey, type ApiKeyStore, isOver } from '../../shared/api-key.ts'
import { type Authenticator, type Caller, unauthorized } from './authenticator.ts'

/** Knows callers by the keys of `relay keys`. */
export function createKeyAuthenticator(store: ApiKeyStore, now: () => Date): Authenticator {
  return {
    isNeeded: true,
    async identify(token) {
      const record = token === undefined ? undefined : await store.verify(token, now().getTime())
      if (record === undefined) throw unauthorized()
      return toCaller(record)
    },
    grant: async ({ grants = [] }) => grants,
    isValid: async ({ proof }) => typeof proof === 'string' && (await store.get(proof)) !== undefined,
    version: () => store.version(),
    detach: (caller) => caller,
    // Webhooks are the tenant's: they outlive a key that was replaced by another.
    async recall({ tenant }) {
      const time = now().getTime()
      const living = (await store.list()).filter((key) => key.tenant === tenant && !isOver(key, time))
      const able = living.filter(({ actions }) => actions.includes('webhooks'))
      return able.length === 0
        ? undefined
        : { tenant, actions: ['webhooks'], grants: able.flatMap(({ grants }) => grants) }
    },
    forget: () => undefined,
  }
}

function toCaller({ id, tenant, grants, actions, expiresAt }: ApiKey): Caller {
  return {
    tenant,
    grants,
    actions,
    proof: id,
    ...(expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) }),
  }
}
