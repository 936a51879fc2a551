import { createApiKeyStore } from '../../shared/api-key.ts'
import type { Keys } from '../../shared/keys.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { WatchedResource } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { createKeyAuthenticator } from './api-keys.ts'
import { type Authenticator, trustEverybody } from './authenticator.ts'
import { createJwtAuthenticator, type JwtOptions } from './jwt.ts'
import { createKubernetesAuthenticator, type Reviewer } from './kubernetes.ts'

/** How callers are known, and what that takes. */
export type AuthSettings =
  | { readonly mode: 'none' }
  | { readonly mode: 'keys' }
  | ({ readonly mode: 'jwt' } & JwtOptions)
  | { readonly mode: 'kubernetes'; readonly reviewer: Reviewer }

/** Creates what the settings ask for. */
export function createAuthenticator(
  settings: AuthSettings = { mode: 'none' },
  deps: { redis: RedisClient; keys: Keys; resources: readonly WatchedResource[]; now: () => Date; log: Logger },
): Authenticator {
  const { redis, keys, resources, now, log } = deps
  switch (settings.mode) {
    case 'none':
      return trustEverybody
    case 'keys':
      return createKeyAuthenticator(createApiKeyStore(redis, keys), now)
    case 'jwt':
      return createJwtAuthenticator(settings, now, log)
    case 'kubernetes':
      return createKubernetesAuthenticator(settings.reviewer, resources, now, log)
  }
}
