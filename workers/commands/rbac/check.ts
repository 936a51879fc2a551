import type { KubeWriter } from '../../kube/client.ts'
import type { Need, Subject } from './manifest.ts'
import { sendRequest, UnreachableError } from './request.ts'

/** What a check found. */
export interface Checked {
  /** Who asked, as a subject that a binding may name. */
  subject: Subject | undefined
  missing: Need[]
}

/**
 * Asks the API server of each need whether these credentials may. It says itself what it would say to a watcher.
 * @throws UnreachableError also for credentials that it does not know: then it says nothing about rights.
 */
export async function checkNeeds(client: KubeWriter, needs: readonly Need[]): Promise<Checked> {
  const allowed = await Promise.all(needs.map((need) => ask(client, need)))
  const missing = needs.filter((_, index) => allowed[index] === false)
  return { subject: missing.length === 0 ? undefined : await findSubject(client), missing }
}

async function ask(client: KubeWriter, { verb, group, resource, namespace, name }: Need): Promise<boolean> {
  const resourceAttributes = {
    verb,
    group,
    resource,
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  }
  const { status, body } = await sendRequest<{ status?: { allowed?: boolean } | string }>(
    client,
    'POST',
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    {},
    { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes } },
  )
  if (status === 401) {
    throw new UnreachableError(
      `${client.server} does not know these credentials (401); log in again, or choose others with --context`,
    )
  }
  if (status !== 200 && status !== 201) {
    throw new UnreachableError(`${client.server} does not answer access reviews (${status}): ${body.message ?? ''}`)
  }
  return typeof body.status === 'object' && body.status.allowed === true
}

/** Who these credentials are; unknown to servers older than 1.28. */
async function findSubject(client: KubeWriter): Promise<Subject | undefined> {
  const { status, body } = await sendRequest<{ status?: { userInfo?: { username?: string } } }>(
    client,
    'POST',
    '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    {},
    { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  )
  const username = body.status?.userInfo?.username
  if (status !== 201 || username === undefined) return undefined
  const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(username) ?? []
  return namespace !== undefined && name !== undefined
    ? { kind: 'ServiceAccount', name, namespace }
    : { kind: 'User', name: username, apiGroup: 'rbac.authorization.k8s.io' }
}
