import type { User } from './authentication.ts'
import { type JsonObject, type KubeObject, objectAt, objectsIn, text } from './kube-object.ts'
import type { Store } from './store.ts'

/** What somebody wants to do: with a resource, or with a path outside the API. */
export type Attempt =
  | {
      verb: string
      group: string
      resource: string
      subresource: string
      namespace: string
      name: string
    }
  | { verb: string; path: string }

interface Decision {
  allowed: boolean
  /** What to put into a review; empty where the real server says nothing. */
  reason: string
}

/** A rule that applies to a user, and where it comes from. */
interface Grant {
  rule: JsonObject
  reason: string
}

export interface Authorizer {
  decide(user: User, attempt: Attempt): Decision
  /** All rules that apply to the user in a namespace (or, with '', cluster-wide). */
  grants(user: User, namespace: string): Grant[]
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function includes(list: unknown, item: string): boolean {
  const values = strings(list)
  return values.includes('*') || values.includes(item)
}

function coversResource(rule: JsonObject, resource: string, subresource: string): boolean {
  const full = subresource === '' ? resource : `${resource}/${subresource}`
  return strings(rule.resources).some(
    (entry) => entry === '*' || entry === full || (subresource !== '' && entry === `*/${subresource}`),
  )
}

function coversPath(rule: JsonObject, path: string): boolean {
  return strings(rule.nonResourceURLs).some(
    (entry) => entry === '*' || entry === path || (entry.endsWith('*') && path.startsWith(entry.slice(0, -1))),
  )
}

// kubernetes `pkg/apis/rbac/v1/evaluation_helpers.go`.
function covers(rule: JsonObject, attempt: Attempt): boolean {
  if (!includes(rule.verbs, attempt.verb)) return false
  if ('path' in attempt) return coversPath(rule, attempt.path)
  const names = strings(rule.resourceNames)
  return (
    includes(rule.apiGroups, attempt.group) &&
    coversResource(rule, attempt.resource, attempt.subresource) &&
    (names.length === 0 || names.includes(attempt.name))
  )
}

function isSubject(subject: JsonObject, user: User, bindingNamespace: string): boolean {
  const name = text(subject.name)
  switch (subject.kind) {
    case 'User':
      return user.username === name
    case 'Group':
      return user.groups.includes(name)
    case 'ServiceAccount':
      return user.username === `system:serviceaccount:${text(subject.namespace) || bindingNamespace}:${name}`
    default:
      return false
  }
}

function describe(binding: KubeObject, subject: JsonObject): string {
  const { name = '', namespace = '' } = binding.metadata
  const ref = objectAt(binding, 'roleRef')
  const where = namespace === '' ? name : `${name}/${namespace}`
  const who =
    subject.kind === 'ServiceAccount'
      ? `${text(subject.name)}/${text(subject.namespace) || namespace}`
      : text(subject.name)
  return `RBAC: allowed by ${binding.kind} "${where}" of ${text(ref.kind)} "${text(ref.name)}" to ${text(subject.kind)} "${who}"`
}

/** Evaluates the Roles, ClusterRoles and bindings in the store, as of each question. */
export function createAuthorizer(store: Store): Authorizer {
  function rulesOf(binding: KubeObject): JsonObject[] {
    const ref = objectAt(binding, 'roleRef')
    const name = text(ref.name)
    const role =
      ref.kind === 'Role'
        ? store.get('roles', binding.metadata.namespace ?? '', name)
        : store.get('clusterroles', '', name)
    return objectsIn(role?.rules)
  }

  function* walk(user: User, namespace: string): Generator<Grant> {
    const bindings = [
      ...store.list('clusterrolebindings'),
      ...(namespace === '' ? [] : store.list('rolebindings', namespace)),
    ]
    for (const binding of bindings) {
      const subject = objectsIn(binding.subjects).find((one) => isSubject(one, user, binding.metadata.namespace ?? ''))
      if (subject === undefined) continue
      for (const rule of rulesOf(binding)) yield { rule, reason: describe(binding, subject) }
    }
  }

  return {
    decide(user, attempt) {
      if (user.groups.includes('system:masters')) return { allowed: true, reason: '' }
      for (const grant of walk(user, 'path' in attempt ? '' : attempt.namespace)) {
        if (covers(grant.rule, attempt)) return { allowed: true, reason: grant.reason }
      }
      return { allowed: false, reason: '' }
    },
    grants: (user, namespace) => [...walk(user, namespace)],
  }
}
