import { AuthenticationV1Api, AuthorizationV1Api, type KubeConfig } from '@kubernetes/client-node'

/** Whom a token belongs to, as a TokenReview says. */
interface User {
  readonly username: string
  readonly uid?: string
  readonly groups?: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

/**
 * Asks the cluster whose a token is and what its owner may do, with the credentials of a kubeconfig. They need ClusterRole
 * `system:auth-delegator`.
 */
export function createKubeReviewer(config: KubeConfig) {
  const authentication = config.makeApiClient(AuthenticationV1Api)
  const authorization = config.makeApiClient(AuthorizationV1Api)
  return {
    async identify(token: string): Promise<User | undefined> {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } }
      const { status } = await authentication.createTokenReview({ body })
      const user = status?.authenticated === true ? status.user : undefined
      return user?.username === undefined ? undefined : { ...describe(user), username: user.username }
    },
    async isAllowed(user: User, verb: string, group: string, resource: string, namespace: string): Promise<boolean> {
      const spec = {
        ...describe(user),
        user: user.username,
        resourceAttributes: { verb, group, resource, ...(namespace === '' ? {} : { namespace }) },
      }
      const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview', spec }
      const { status } = await authorization.createSubjectAccessReview({ body })
      return status?.allowed === true && status.denied !== true
    },
  }
}

/** What both reviews know a user by, beside the name. */
function describe({ uid, groups, extra }: Partial<User>) {
  const entries = Object.entries(extra ?? {}).map(([name, values]) => [name, [...values]])
  return {
    ...(uid === undefined ? {} : { uid }),
    ...(groups === undefined ? {} : { groups: [...groups] }),
    ...(extra === undefined ? {} : { extra: Object.fromEntries(entries) as Record<string, string[]> }),
  }
}
