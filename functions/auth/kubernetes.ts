import { everything, type Grant } from '../../shared/access.ts'
import { hashText } from '../../shared/api-key.ts'
import { compilePattern, listExact } from '../../shared/filter/pattern.ts'
import type { WatchedResource } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { createAnswers, createTurns, patience, unavailable, within } from './answers.ts'
import { type Authenticator, type Caller, unauthorized } from './authenticator.ts'
import { createOutageReport } from './outage-report.ts'

/** Somebody whom the cluster knows, as a TokenReview says. */
export interface ClusterUser {
  readonly username: string
  readonly uid?: string
  readonly groups?: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/** Asks the cluster's API. Rejects when it cannot be asked. */
export interface Reviewer {
  /** TokenReview: whose token it is; undefined when it is nobody's. */
  identify(token: string): Promise<ClusterUser | undefined>
  /** SubjectAccessReview. An empty namespace is the whole cluster. */
  isAllowed(user: ClusterUser, verb: string, group: string, resource: string, namespace: string): Promise<boolean>
}

/** How many questions are open at a time; of tokens, more are refused: anybody can make some up. */
const maxOpen = 64

/** Knows callers by their own tokens of the cluster, and lets them see what they may list and watch there. */
export function createKubernetesAuthenticator(
  reviewer: Reviewer,
  watched: readonly WatchedResource[],
  now: () => Date,
  log?: Pick<Logger, 'warn' | 'info'>,
): Authenticator {
  const report = createOutageReport(log, texts, explainRefusal)
  const users = createAnswers<ClusterUser | undefined>(now, report)
  const decisions = createAnswers<boolean>(now, report)
  const turns = createTurns(maxOpen)

  const identify = async (token: string) =>
    users.get(await hashText(token), () => {
      if (users.open() >= maxOpen) throw unavailable('Too many new tokens are to be checked at the moment.')
      return reviewer.identify(token)
    })
  /** The user of a caller as of now: groups may have changed. Tokens that were good are never refused for others' sake. */
  const identifyAgain = async ({ token, user }: Proof) =>
    token === undefined ? user : users.get(await hashText(token), () => turns(() => reviewer.identify(token)))
  const isAllowed = async (user: ClusterUser, { group, version, resource }: WatchedResource, namespace: string) => {
    // Until it is known of which group it is, it is for who may see it in any.
    const asked = version === '' ? '*' : group
    const ask = (verb: string) =>
      decisions.get(JSON.stringify([user, verb, asked, resource, namespace]), () =>
        turns(() => within(patience, reviewer.isAllowed(user, verb, asked, resource, namespace))),
      )
    return (await Promise.all([ask('list'), ask('watch')])).every(Boolean)
  }
  /** Filters know resources by their plural: of those of several groups, one sees all or none. */
  const areAllowed = async (user: ClusterUser, resources: readonly WatchedResource[], namespace: string) =>
    (await Promise.all(resources.map((resource) => isAllowed(user, resource, namespace)))).every(Boolean)

  return {
    isNeeded: true,
    async identify(token) {
      if (token === undefined) throw unauthorized()
      const user = await identify(token)
      if (user === undefined) throw unauthorized()
      const expiresAt = readExpiry(token)
      const caller: Caller = { tenant: user.username, actions: ['read', 'webhooks'], proof: { token, user } }
      return expiresAt === undefined ? caller : { ...caller, expiresAt }
    },
    async grant(caller, wish) {
      const user = await identifyAgain(readProof(caller))
      if (user === undefined) throw unauthorized()
      const wanted = compilePattern(wish.resource ?? [])
      const namespaces = listExact(wish.namespace) ?? []
      const kinds = Map.groupBy(watched, ({ resource }) => resource)
      const found = [...kinds]
        .filter(([plural]) => wanted.test(plural))
        .map(async ([plural, resources]): Promise<Grant[]> => {
          const grant = (namespace: string) => ({ resources: [plural], namespaces: [namespace] })
          if (await areAllowed(user, resources, '')) return [grant('*')]
          const allowed = await Promise.all(namespaces.map((namespace) => areAllowed(user, resources, namespace)))
          return namespaces.filter((_, i) => allowed[i]).map(grant)
        })
      const grants = (await Promise.all(found)).flat()
      const isAll = grants.length === kinds.size && grants.every((grant) => grant.namespaces.includes('*'))
      return isAll ? [everything] : grants
    },
    isValid: async (caller) => (await identifyAgain(readProof(caller))) !== undefined,
    version: async () => 0,
    detach(caller) {
      const { user } = readProof(caller)
      return { ...caller, proof: { user } }
    },
    async recall({ tenant, proof }) {
      const user = (proof as Partial<Proof> | undefined)?.user
      return user === undefined ? undefined : { tenant, actions: ['webhooks'], proof: { user } }
    },
    forget() {
      users.clear()
      decisions.clear()
    },
  }
}

const texts = {
  fails: 'the cluster cannot be asked who callers are',
  works: 'the cluster answers again who callers are',
}

function explainRefusal(error: unknown): string {
  return (error as { code?: unknown }).code === 403 ? '; the relay needs ClusterRole system:auth-delegator' : ''
}

interface Proof {
  readonly user: ClusterUser
  readonly token?: string
}

function readProof(caller: Caller): Proof {
  return caller.proof as Proof
}

/** A TokenReview does not say when a token ends; the token itself does, and the review vouched for it. */
function readExpiry(token: string): number | undefined {
  const part = token.split('.')[1]
  if (part === undefined || !/^[A-Za-z0-9_-]+$/.test(part)) return undefined
  try {
    const claims: unknown = JSON.parse(atob(part.replaceAll('-', '+').replaceAll('_', '/')))
    const exp = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch (error) {
    // Other authenticators of the cluster give out tokens of any shape.
    if (error instanceof SyntaxError || error instanceof DOMException) return undefined
    throw error
  }
}
