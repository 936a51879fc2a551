import { ConfigError, readConfig } from '../../shared/config.ts'
import { RelayError } from '../../shared/errors.ts'
import { parseConfigured } from '../../shared/resource.ts'
import type { AuthSettings } from '../auth/choose.ts'
import type { EdgeEnvironment } from './environment.ts'
import { redisForms } from './redis.ts'

/** What a Worker is set to. */
export interface EdgeSettings {
  readonly cluster: string
  readonly resources: string
  readonly auth: AuthSettings
  readonly origins: readonly string[]
  readonly redisUrl: string
  readonly redisToken?: string
  readonly secretKey: string
  readonly allowCidrs: readonly string[]
  readonly allowHttp: boolean
  readonly logLevel: string
}

/**
 * Reads the bindings by the rules that settings have everywhere.
 * @throws RelayError `unavailable` that says what to set, `unimplemented` for a way to know callers that there is not at the edge.
 */
export function readSettings(env: EdgeEnvironment): EdgeSettings {
  const { REDIS_URL, REDIS_TOKEN, WEBHOOK_SECRET_KEY } = env
  const texts = Object.entries(env).filter(([name, value]) => typeof value === 'string' && name !== 'REDIS_URL')
  const config = readTexts(Object.fromEntries(texts))
  if (config.auth === 'kubernetes') {
    throw new RelayError(
      'unimplemented',
      'RELAY_AUTH=kubernetes asks the cluster about each caller, and no cluster can be reached from the edge. Use RELAY_AUTH=jwt with the issuer of your cluster or company, or RELAY_AUTH=keys with `relay keys create`.',
    )
  }
  const { cluster, jwtIssuer, jwtAudience, jwtKeys } = config
  if (cluster === undefined) throw unset('RELAY_CLUSTER', 'the name that the watcher gives the cluster')
  if (REDIS_URL === undefined || !redisForms.test(REDIS_URL)) {
    throw unset('REDIS_URL', 'a secret: redis://…, rediss://… or https://… with REDIS_TOKEN')
  }
  if (WEBHOOK_SECRET_KEY === undefined) throw unset('WEBHOOK_SECRET_KEY', 'a secret, the one of `relay deliver`')
  if (config.auth === 'jwt' && jwtIssuer === undefined) throw unset('RELAY_JWT_ISSUER', 'it goes with RELAY_AUTH=jwt')
  return {
    cluster,
    resources: config.resources,
    auth:
      config.auth === 'jwt'
        ? {
            mode: 'jwt',
            issuer: jwtIssuer ?? '',
            ...(jwtAudience === undefined ? {} : { audience: jwtAudience }),
            ...(jwtKeys === undefined ? {} : { jwks: jwtKeys }),
          }
        : { mode: config.auth },
    origins: config.corsOrigins,
    redisUrl: REDIS_URL,
    ...(REDIS_TOKEN === undefined ? {} : { redisToken: REDIS_TOKEN }),
    secretKey: WEBHOOK_SECRET_KEY,
    allowCidrs: config.webhookAllowCidrs,
    allowHttp: config.webhookAllowHttp,
    logLevel: config.logLevel,
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

function readTexts(texts: Record<string, string>) {
  try {
    return readConfig(texts, {}, { resources: parseConfigured })
  } catch (error) {
    if (error instanceof ConfigError) throw new RelayError('unavailable', error.message)
    throw error
  }
}

function unset(name: string, meaning: string): RelayError {
  return new RelayError('unavailable', `This deployment is not set up: set ${name} (${meaning}).`)
}
