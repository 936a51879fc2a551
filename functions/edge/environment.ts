import type { Limits } from '../limits.ts'
import type { RelayHub } from './hub.ts'

/** What bounds a hub. */
export interface HubLimits extends Limits {
  /** Requests a second beyond which others are sent to other hubs, where there are any with less to do. */
  requests: number
}

/** What `infra/wrangler.jsonc` binds: settings under the names that they have everywhere, and what only the platform has. */
export interface EdgeEnvironment {
  readonly RELAY_CLUSTER?: string
  readonly RELAY_RESOURCES?: string
  readonly RELAY_AUTH?: string
  readonly RELAY_JWT_ISSUER?: string
  readonly RELAY_JWT_AUDIENCE?: string
  readonly RELAY_JWT_JWKS?: string
  readonly RELAY_CORS_ORIGINS?: string
  readonly WEBHOOK_ALLOW_CIDRS?: string
  readonly WEBHOOK_ALLOW_HTTP?: string
  readonly LOG_LEVEL?: string
  /** A secret. `redis://` and `rediss://` for TCP, `https://` for a server that takes commands over HTTP. */
  readonly REDIS_URL?: string
  /** A secret: the bearer token that goes with an `https://` address. */
  readonly REDIS_TOKEN?: string
  /** A secret, the same as that of the workers that deliver. */
  readonly WEBHOOK_SECRET_KEY?: string
  /** How many hubs share the subscribers; 1 where absent. */
  readonly HUB_SHARDS?: number
  /** Where hubs are to be, such as `weur`: near Redis. */
  readonly HUB_LOCATION?: DurableObjectLocationHint
  /**
   * After how many silent seconds a hub with nobody but WebSockets lets go of the log, and how often it looks at it then; where
   * absent, it follows the log as long as there is anybody.
   */
  readonly HUB_SLEEP_SECONDS?: number
  /** What differs from the limits of one hub, by name. */
  readonly HUB_LIMITS?: Partial<HubLimits>
  readonly HUB: DurableObjectNamespace<RelayHub>
  /** Where bound, the platform's own rate limit, asked once a request. */
  readonly RATE_LIMIT?: RateLimit
}
