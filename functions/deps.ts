import type { RedisClient } from '../shared/redis.ts'
import type { WatchedResource } from '../shared/resource.ts'
import type { Logger } from '../shared/role.ts'
import type { Owner } from '../shared/webhook/webhook.ts'
import type { Caller } from './auth/authenticator.ts'
import type { AuthSettings } from './auth/choose.ts'
import type { Limits } from './limits.ts'
import type { PageFiles } from './routes/page.ts'
import type { Link } from './streams/socket.ts'
import type { Flow } from './streams/subscription.ts'
import type { Connection } from './streams/tail.ts'
import type { WebhookRouteDeps } from './webhooks.ts'

/** What the functions need from the runtime that they run on. */
export interface AppDeps {
  /** The cluster's name in events and in Redis. */
  readonly cluster: string
  /** For short commands. Rejects rather than waits while Redis cannot be reached. */
  readonly redis: RedisClient
  /** Opens another connection, which may be blocked by its reader. */
  readonly connect: () => Connection
  readonly log: Logger
  /** What is watched, and so what can be asked for. */
  readonly resources: readonly WatchedResource[]
  /** The web page; without it `/` answers 404. */
  readonly page?: PageFiles
  /** What managing webhooks takes: the key of the process that delivers, and where they may go. */
  readonly webhooks: Pick<WebhookRouteDeps, 'encryptionKey' | 'policy'>
  /** How callers are known; absent: nobody is asked. */
  readonly auth?: AuthSettings
  /** Origins beside its own whose pages may call. */
  readonly origins?: readonly string[]
  readonly limits?: Partial<Limits>
  readonly now?: () => Date
}

/** What an entry passes with each request. */
interface Bindings {
  /** Takes the body of the response, once its head was returned. */
  pour?: (flow: Flow) => void
  /** Makes the connection a WebSocket; the answer is what the route returns. */
  upgrade?: (serve: (link: Link) => void) => Response
}

/** The types of the app's contexts. */
export interface AppEnv {
  Bindings: Bindings
  Variables: {
    /** Set before any route of `/v1` is called. */
    caller: Caller
    /** Set where callers have webhooks of their own: what those keep of this one. */
    owner?: Owner
    /** Set where callers are known: whether this one may see events of a resource in a namespace. */
    maySee?: (resource: string, namespace: string) => Promise<boolean>
  }
}
