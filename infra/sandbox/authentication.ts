import { type Clock, timestamp } from './clock.ts'
import type { KubeObject } from './kube-object.ts'
import type { Random } from './random.ts'
import { type FieldError, invalid, notFound } from './status.ts'
import type { Store } from './store.ts'

/** Who makes a request. */
export interface User {
  username: string
  uid?: string
  groups: readonly string[]
  extra?: Record<string, string[]>
}

/** A token's owner as given in the sandbox's options. */
export interface TokenUser {
  username: string
  uid?: string
  groups?: readonly string[]
}

export interface Authenticator {
  /** Undefined: the credentials are not good. No credentials at all is the administrator. */
  authenticate(authorization: string | undefined): User | undefined
  /** The owner of a bearer token. */
  identify(token: string): User | undefined
  /** Makes a token for a service account. @throws ApiError 404, or 422 for a life under ten minutes. */
  issue(namespace: string, name: string, seconds: number): { token: string; expirationTimestamp: string }
}

const administrator: User = { username: 'system:admin', groups: ['system:masters', 'system:authenticated'] }
const issuer = 'https://kubernetes.default.svc'

/** The audience of every token: the API server itself. */
export const apiAudience = issuer

function encode(part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

/** Loopback without credentials is trusted, as with a kubeconfig for a local toy cluster; tokens are not. */
export function createAuthenticator(
  tokens: Readonly<Record<string, TokenUser>>,
  store: Store,
  clock: Clock,
  random: Random,
): Authenticator {
  const issued = new Map<string, { account: KubeObject; expires: number; id: string }>()

  function identify(token: string): User | undefined {
    const known = Object.hasOwn(tokens, token) ? tokens[token] : undefined
    if (known !== undefined) {
      return {
        username: known.username,
        ...(known.uid === undefined ? {} : { uid: known.uid }),
        groups: [...(known.groups ?? []), 'system:authenticated'],
      }
    }
    const account = issued.get(token)
    if (account === undefined || account.expires <= clock.now()) return undefined
    const { namespace = '', name = '', uid = '' } = account.account.metadata
    // A token dies with its service account, even if one of the same name comes back.
    if (store.get('serviceaccounts', namespace, name)?.metadata.uid !== uid) return undefined
    return {
      username: `system:serviceaccount:${namespace}:${name}`,
      uid,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      extra: { 'authentication.kubernetes.io/credential-id': [`JTI=${account.id}`] },
    }
  }

  return {
    identify,
    authenticate(authorization) {
      if (authorization === undefined || authorization === '') return administrator
      const token = /^bearer +(\S+)\s*$/i.exec(authorization)?.[1]
      return token === undefined ? undefined : identify(token)
    },
    issue(namespace, name, seconds) {
      const account = store.get('serviceaccounts', namespace, name)
      if (account === undefined) throw notFound({ group: '', plural: 'serviceaccounts' }, name)
      if (seconds < 600) {
        const error: FieldError = {
          field: 'spec.expirationSeconds',
          type: 'Invalid',
          value: seconds,
          detail: 'may not specify a duration less than 10 minutes',
        }
        throw invalid('authentication.k8s.io', 'TokenRequest', '', [error])
      }
      const now = Math.floor(clock.now() / 1000)
      const id = random.uuid()
      const claims = {
        aud: [issuer],
        exp: now + seconds,
        iat: now,
        iss: issuer,
        jti: id,
        'kubernetes.io': { namespace, serviceaccount: { name, uid: account.metadata.uid } },
        nbf: now,
        sub: `system:serviceaccount:${namespace}:${name}`,
      }
      // A JWT in shape only: the sandbox recognizes its own tokens and nobody else can check them.
      const token = `${encode({ alg: 'RS256', kid: 'sandbox' })}.${encode(claims)}.${encode(random.uuid() + random.uuid())}`
      issued.set(token, { account, expires: (now + seconds) * 1000, id })
      return { token, expirationTimestamp: timestamp((now + seconds) * 1000) }
    },
  }
}
