import { errors, type JWTPayload, jwtVerify } from 'jose'
import { type Action, actions, parseGrantItems } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Logger } from '../../shared/role.ts'
import { type Authenticator, type Caller, unauthorized } from './authenticator.ts'
import { createIssuerKeys, type KeySource } from './issuer-keys.ts'

/** Whose tokens are taken. */
export interface JwtOptions extends KeySource {
  /** The `aud` that a token must name; absent: any. */
  readonly audience?: string
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

/** How far the issuer's clock may be ahead, in s: a token is often used in the second that it was made. Its end is its end. */
const leeway = 30

/**
 * Knows callers by the tokens of an issuer. Their claims say what they may see: `namespaces` and `resources` (lists, or texts
 * with spaces; `*` for all), and `actions` (absent: `read`). Without the first two a token sees nothing.
 */
export function createJwtAuthenticator(
  options: JwtOptions,
  now: () => Date,
  log?: Pick<Logger, 'warn' | 'info'>,
): Authenticator {
  const keys = createIssuerKeys(options, now, log)
  return {
    isNeeded: true,
    async identify(token) {
      if (token === undefined) throw unauthorized()
      const { issuer, audience } = options
      try {
        const { payload } = await jwtVerify(token, keys, {
          issuer,
          algorithms,
          requiredClaims: ['exp', 'sub'],
          currentDate: now(),
          clockTolerance: leeway,
          ...(audience === undefined ? {} : { audience }),
        })
        return readClaims(payload, now())
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

function readClaims(payload: JWTPayload, now: Date): Caller {
  const { sub, exp = 0, namespaces, resources, actions: given } = payload
  if (typeof sub !== 'string' || sub === '' || exp * 1000 <= now.getTime()) throw unauthorized()
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
