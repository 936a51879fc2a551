import type { Keys } from '../shared/keys.ts'
import type { LogReader } from '../shared/log/reader.ts'
import type { RedisClient } from '../shared/redis.ts'
import type { WatchedResource } from '../shared/resource.ts'
import type { Logger } from '../shared/role.ts'
import type { StateReader } from '../shared/state.ts'
import type { Authenticator } from './auth/authenticator.ts'
import type { Narrow } from './auth/guard.ts'
import type { Logins } from './auth/logins.ts'
import type { Sessions } from './auth/sessions.ts'
import type { Tickets } from './auth/tickets.ts'
import type { Limits } from './limits.ts'
import type { Hub } from './streams/hub.ts'

/** What the routes share. */
export interface Services {
  readonly cluster: string
  readonly resources: readonly WatchedResource[]
  readonly redis: RedisClient
  readonly keys: Keys
  readonly reader: LogReader
  readonly state: StateReader
  readonly hub: Hub
  readonly authenticator: Authenticator
  readonly narrow: Narrow
  readonly sessions: Sessions
  readonly tickets: Tickets
  readonly logins: Logins
  readonly log: Logger
  readonly limits: Limits
  readonly now: () => Date
}
