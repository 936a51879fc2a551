import { createRemoteJWKSet, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import { type Action, actions, parseGrantItems } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import { type Authenticator, type Caller, unauthorized } from './authenticator.ts'

/** Whose tokens are taken. */
export interface JwtOptions {
  /** The exact `iss`. */
  readonly issuer: string
  /** The `aud` that a token must name; absent: any. */
  readonly audience?: string
  /** Where the keys are; absent: what the issuer's OpenID configuration says. */
  readonly jwks?: string
}

/** Signatures that anybody can check. A token signed by a shared secret, or by none, is refused. */
const algorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']

/** What is wrong with a token, rather than with the keys that it is checked by. */
const faults = [
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
  errors.JWKSMultipleMatchingKeys,
  errors.JWKSNoMatchingKey,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JWTClaimValidationFailed,
  errors.JWTExpired,
  errors.JWTInvalid,
]

/** A key that is not known yet is looked for at most this often, in ms: a rotation is noticed, an attacker's guesses are not followed. */
const cooldown = 5_000

/**
 * Knows callers by the tokens of an issuer. Their claims say what they may see: `namespaces` and `resources` (lists, or texts
 * with spaces; `*` for all), and `actions` (absent: `read`). Without the first two a token sees nothing.
 */
export function createJwtAuthenticator(options: JwtOptions, now: () => Date): Authenticator {
  let keys: Promise<JWTVerifyGetKey> | undefined
  const findKeys = () => {
    keys ??= locateKeys(options).catch((error: unknown) => {
      keys = undefined
      throw error
    })
    return keys
  }
  return {
    isNeeded: true,
    async identify(token) {
      if (token === undefined) throw unauthorized()
      const { issuer, audience } = options
      try {
        const { payload } = await jwtVerify(token, await findKeys(), {
          issuer,
          algorithms,
          requiredClaims: ['exp', 'sub'],
          currentDate: now(),
          ...(audience === undefined ? {} : { audience }),
        })
        return readClaims(payload)
      } catch (error) {
        if (error instanceof RelayError && error.code === 'invalid') {
          throw new RelayError('forbidden', `The token's claims cannot be read: ${error.message}`)
        }
        if (error instanceof RelayError) throw error
        if (faults.some((fault) => error instanceof fault)) throw unauthorized()
        throw new RelayError('unavailable', "The issuer's keys cannot be read at the moment.", {
          retryAfter: 5,
          cause: error,
        })
      }
    },
    grant: async ({ grants = [] }) => grants,
    isValid: async () => true,
    version: async () => 0,
    detach: (caller) => caller,
    // Nobody can be asked what a subject may see after its token: what the token said stays true.
    recall: async ({ tenant, grants = [] }) => ({ tenant, actions: ['webhooks'], grants }),
    forget: () => undefined,
  }
}

async function locateKeys({ issuer, jwks }: JwtOptions): Promise<JWTVerifyGetKey> {
  const options = { cooldownDuration: cooldown, timeoutDuration: 5_000 }
  if (jwks !== undefined) return createRemoteJWKSet(new URL(jwks), options)
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const response = await fetch(address, { signal: AbortSignal.timeout(5_000), redirect: 'manual' })
  const found = response.ok ? ((await response.json()) as { issuer?: unknown; jwks_uri?: unknown }) : {}
  if (found.issuer !== issuer || typeof found.jwks_uri !== 'string') {
    throw new RelayError('unavailable', "The issuer's configuration cannot be read.", { retryAfter: 5 })
  }
  return createRemoteJWKSet(new URL(found.jwks_uri), options)
}

function readClaims(payload: JWTPayload): Caller {
  const { sub, exp = 0, namespaces, resources, actions: given } = payload
  if (typeof sub !== 'string' || sub === '') throw unauthorized()
  const isComplete = namespaces !== undefined && resources !== undefined
  const wanted = given === undefined ? ['read'] : parseGrantItems(given, 'actions')
  return {
    tenant: sub,
    actions: wanted.filter((item): item is Action => (actions as readonly string[]).includes(item)),
    grants: isComplete
      ? [{ namespaces: parseGrantItems(namespaces, 'namespaces'), resources: parseGrantItems(resources, 'resources') }]
      : [],
    expiresAt: exp * 1000,
  }
}
