import { RelayError } from '../../shared/errors.ts'
import { parseConfigured, type WatchedResource } from '../../shared/resource.ts'
import { type AddressPolicy, createAddressPolicy } from '../../shared/webhook/address.ts'
import type { AuthSettings } from '../auth/choose.ts'
import type { EdgeEnvironment } from './environment.ts'
import { redisForms } from './redis.ts'

/** What a Worker is set to. */
export interface EdgeSettings {
  readonly cluster: string
  readonly resources: WatchedResource[]
  readonly auth: AuthSettings
  readonly origins: readonly string[]
  readonly redisUrl: string
  readonly redisToken: string
  readonly secretKey: string
  readonly policy: AddressPolicy
  readonly logLevel: string
  /** In ms; undefined: hubs do not sleep while there is anybody. */
  readonly sleepAfter: number | undefined
}

/**
 * Reads the bindings. They have the names and the meanings of the settings of `shared/config.ts`, whose table stays out of the
 * bundle.
 * @throws RelayError `unavailable` that says what to set, `unimplemented` for a way to know callers that there is not at the edge.
 */
export function readSettings(env: EdgeEnvironment): EdgeSettings {
  const { RELAY_CLUSTER, RELAY_RESOURCES, REDIS_URL, REDIS_TOKEN = '', WEBHOOK_SECRET_KEY, LOG_LEVEL = 'info' } = env
  if (!RELAY_CLUSTER) throw unset('RELAY_CLUSTER', 'the name that the watcher gives the cluster')
  if (!REDIS_URL || !redisForms.test(REDIS_URL)) {
    throw unset('REDIS_URL', 'a secret: redis://…, rediss://… or https://… with REDIS_TOKEN')
  }
  if (!WEBHOOK_SECRET_KEY) throw unset('WEBHOOK_SECRET_KEY', 'a secret, the one of `relay deliver`')
  return {
    cluster: RELAY_CLUSTER,
    resources: check('RELAY_RESOURCES', () => parseConfigured(RELAY_RESOURCES || 'pods,leases')),
    auth: readAuth(env),
    origins: split(env.RELAY_CORS_ORIGINS),
    redisUrl: REDIS_URL,
    redisToken: REDIS_TOKEN,
    secretKey: WEBHOOK_SECRET_KEY,
    policy: check('WEBHOOK_ALLOW_CIDRS', () =>
      createAddressPolicy({
        allowCidrs: split(env.WEBHOOK_ALLOW_CIDRS),
        allowHttp: env.WEBHOOK_ALLOW_HTTP === 'true',
      }),
    ),
    logLevel: LOG_LEVEL,
    sleepAfter: readSleep(env.HUB_SLEEP_SECONDS),
  }
}

/**
 * Refuses to let everybody read everything: without auth a Worker serves only the machine that `wrangler dev` runs on.
 * @throws RelayError `unavailable` that says what to set.
 */
export function refuseExposure(auth: AuthSettings, host: string): void {
  if (auth.mode !== 'none' || /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(host)) return
  throw unset('RELAY_AUTH', 'keys or jwt; with none everybody could read everything')
}

function readAuth({ RELAY_AUTH = 'none', ...env }: EdgeEnvironment): AuthSettings {
  const { RELAY_JWT_ISSUER: issuer, RELAY_JWT_AUDIENCE: audience, RELAY_JWT_JWKS: jwks } = env
  switch (RELAY_AUTH) {
    case 'none':
    case 'keys':
      return { mode: RELAY_AUTH }
    case 'jwt':
      if (!issuer) throw unset('RELAY_JWT_ISSUER', 'it goes with RELAY_AUTH=jwt')
      return { mode: 'jwt', issuer, ...(audience ? { audience } : {}), ...(jwks ? { jwks } : {}) }
    case 'kubernetes':
      throw new RelayError(
        'unimplemented',
        'RELAY_AUTH=kubernetes asks the cluster about each caller, and the edge reaches no cluster. Use RELAY_AUTH=jwt with an issuer of yours, or RELAY_AUTH=keys with `relay keys create`.',
      )
    default:
      throw unset('RELAY_AUTH', 'keys or jwt')
  }
}

function readSleep(seconds: number | undefined): number | undefined {
  if (seconds === undefined) return undefined
  if (!(Number(seconds) >= 1)) throw unset('HUB_SLEEP_SECONDS', 'a number of seconds from 1 on, such as 60')
  return Number(seconds) * 1_000
}

function split(list = ''): string[] {
  return list.split(',').flatMap((item) => item.trim() || [])
}

function check<Value>(name: string, read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw unset(name, error instanceof Error ? error.message : 'not readable')
  }
}

function unset(name: string, meaning: string): RelayError {
  return new RelayError('unavailable', `This deployment is not set up: set ${name} (${meaning}).`)
}
