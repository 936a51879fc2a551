import { createLocalJWKSet, createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose'
import type { Logger } from '../../shared/role.ts'
import { createOutageReport } from './outage-report.ts'

/** Where the keys of an issuer are. */
export interface KeySource {
  /** The exact `iss`. */
  readonly issuer: string
  /** Where the keys are; absent: what the issuer's OpenID configuration says. */
  readonly jwks?: string
}

/** A key that is not known yet is looked for at most this often, in ms: a rotation is noticed, an attacker's guesses are not followed. */
const cooldown = 5_000
/** How long an issuer that did not answer is left alone, in ms. */
const pause = 2_000
/** How long keys are taken for good without being read again, in ms; */
const fresh = 10 * 60_000
/** and how long while they cannot be: an issuer that is away is no reason to refuse those whom it knows. */
const stale = 60 * 60_000

/** What is wrong with a token, rather than with the keys. */
const faults = [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported]

type RemoteKeys = ReturnType<typeof createRemoteJWKSet>

/**
 * Reads the keys of an issuer when they are needed, and again when one is not among them.
 * @returns what finds the key of a token. Throws an error of jose when there is none; whatever reading threw when that cannot
 * be known.
 */
export function createIssuerKeys(
  source: KeySource,
  now: () => Date,
  log?: Pick<Logger, 'warn' | 'info'>,
): JWTVerifyGetKey {
  const report = createOutageReport(log, {
    fails: 'the keys of the issuer cannot be read',
    works: 'the keys of the issuer can be read again',
  })
  let located: Promise<RemoteKeys> | undefined
  let known: { find: JWTVerifyGetKey; readAt: number } | undefined
  let failed: { at: number; error: unknown } | undefined

  const read: JWTVerifyGetKey = async (header, token) => {
    located ??= locate(source)
    const remote = await located
    try {
      return await remote(header, token)
    } finally {
      const set = remote.jwks()
      if (remote.fresh && set !== undefined) known = { find: createLocalJWKSet(set), readAt: now().getTime() }
    }
  }

  return async (header, token) => {
    const time = now().getTime()
    if (failed === undefined || time - failed.at >= pause) {
      try {
        const key = await read(header, token)
        failed = undefined
        report()
        return key
      } catch (error) {
        if (faults.some((fault) => error instanceof fault)) throw error
        // The configuration may name another place by now.
        located = undefined
        failed = { at: time, error }
        report(error)
      }
    }
    if (known === undefined || time - known.readAt > stale) throw failed.error
    try {
      return await known.find(header, token)
    } catch {
      // It may be one that nobody could read yet.
      throw failed.error
    }
  }
}

async function locate({ issuer, jwks }: KeySource): Promise<RemoteKeys> {
  const options = { cooldownDuration: cooldown, cacheMaxAge: fresh, timeoutDuration: 5_000 }
  if (jwks !== undefined) return createRemoteJWKSet(new URL(jwks), options)
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const response = await fetch(address, { signal: AbortSignal.timeout(5_000), redirect: 'manual' })
  const found = response.ok ? ((await response.json()) as { issuer?: unknown; jwks_uri?: unknown }) : {}
  if (found.issuer !== issuer || typeof found.jwks_uri !== 'string') {
    throw new Error(`${address} answers ${response.status} and names no jwks_uri of this issuer`)
  }
  return createRemoteJWKSet(new URL(found.jwks_uri), options)
}
