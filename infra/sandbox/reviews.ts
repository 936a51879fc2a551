import { type Authenticator, apiAudience, type User } from './authentication.ts'
import { type Clock, timestamp } from './clock.ts'
import { arrangeFields } from './field-order.ts'
import { isObject, type JsonObject, type KubeObject, objectAt, text } from './kube-object.ts'
import { manageFields } from './managed-fields.ts'
import type { Attempt, Authorizer } from './rbac.ts'
import { apiVersionOf, type Resource } from './resources.ts'
import { badRequest, type FieldError, invalid } from './status.ts'

/** Answers the kinds that are asked and never stored. */
export type Reviewer = (
  resource: Resource,
  namespace: string,
  body: Partial<KubeObject>,
  user: User,
  manager: string,
) => KubeObject

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function attemptOf(resource: Resource, spec: JsonObject): Attempt {
  const attributes = spec.resourceAttributes
  const path = spec.nonResourceAttributes
  const errors: FieldError[] = []
  if (isObject(attributes) === isObject(path)) {
    errors.push({
      field: 'spec.resourceAttributes',
      type: 'Invalid',
      value: null,
      detail: isObject(attributes)
        ? 'cannot be specified in combination with nonResourceAttributes'
        : 'exactly one of nonResourceAttributes or resourceAttributes must be specified',
    })
    throw invalid(resource.group, resource.kind, '', errors)
  }
  if (isObject(path)) return { verb: text(path.verb), path: text(path.path) }
  const asked = objectAt(spec, 'resourceAttributes')
  return {
    verb: text(asked.verb),
    group: text(asked.group),
    resource: text(asked.resource),
    subresource: text(asked.subresource),
    namespace: text(asked.namespace),
    name: text(asked.name),
  }
}

function describeUser(user: User): JsonObject {
  return {
    username: user.username,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: [...user.groups],
    ...(user.extra === undefined ? {} : { extra: user.extra }),
  }
}

export function createReviewer(authenticator: Authenticator, authorizer: Authorizer, clock: Clock): Reviewer {
  function decide(user: User, resource: Resource, spec: JsonObject): JsonObject {
    const decision = authorizer.decide(user, attemptOf(resource, spec))
    return { allowed: decision.allowed, ...(decision.reason === '' ? {} : { reason: decision.reason }) }
  }

  function statusOf(resource: Resource, namespace: string, spec: JsonObject, user: User): JsonObject {
    switch (resource.kind) {
      case 'TokenReview': {
        const token = text(spec.token)
        const found = token === '' ? undefined : authenticator.identify(token)
        if (found !== undefined) return { authenticated: true, user: describeUser(found), audiences: [apiAudience] }
        return { user: {}, error: 'invalid bearer token' }
      }
      case 'SelfSubjectAccessReview':
        return decide(user, resource, spec)
      case 'SelfSubjectReview':
        return { userInfo: describeUser(user) }
      case 'SelfSubjectRulesReview': {
        const rules = authorizer.grants(user, text(spec.namespace)).map((grant) => grant.rule)
        const all = user.groups.includes('system:masters')
        const everything: JsonObject = { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }
        return {
          resourceRules: [...(all ? [everything] : []), ...rules.filter((rule) => 'resources' in rule)],
          nonResourceRules: [
            ...(all ? [{ verbs: ['*'], nonResourceURLs: ['*'] }] : []),
            ...rules.filter((rule) => 'nonResourceURLs' in rule),
          ],
          incomplete: false,
        }
      }
      default: {
        const groups = strings(spec.groups)
        const username = text(spec.user)
        if (username === '' && groups.length === 0) {
          const detail = 'at least one of user or group must be specified'
          throw invalid(resource.group, resource.kind, '', [{ field: 'spec.user', type: 'Invalid', value: '', detail }])
        }
        if (resource.kind === 'LocalSubjectAccessReview') {
          const asked = text(objectAt(spec, 'resourceAttributes').namespace)
          if (asked !== namespace) {
            throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${namespace}`)
          }
        }
        return decide({ username, groups }, resource, spec)
      }
    }
  }

  return function review(resource, namespace, body, user, manager) {
    const spec = objectAt(body, 'spec')
    const draft: KubeObject = {
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: {},
      ...(resource.kind === 'SelfSubjectReview' ? {} : { spec }),
    }
    const managedFields = manageFields(
      undefined,
      draft,
      {},
      {
        manager,
        subresource: '',
        operation: 'Update',
        time: timestamp(clock.now()),
      },
    )
    const status = statusOf(resource, namespace, spec, user)
    const metadata = managedFields.length === 0 ? {} : { managedFields }
    return arrangeFields({ ...draft, metadata, status })
  }
}
