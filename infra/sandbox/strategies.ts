import { isObject, type JsonObject, type KubeObject, objectAt, objectsIn, sameJson, text } from './kube-object.ts'
import { complainAboutLabelKey, complainAboutLabelValue } from './label-selector.ts'
import {
  admitPod,
  defaultPod,
  dnsLabelHelp,
  normalizePodStatus,
  validatePod,
  validatePodUpdate,
} from './pod-strategy.ts'
import type { Resource } from './resources.ts'
import { badRequest, type FieldError } from './status.ts'

/** What is particular to a kind when it is written. */
export interface Strategy {
  /** Fills in defaults, on create and on update. */
  normalize(object: KubeObject): KubeObject
  /** Adds what is there only after a create was admitted. */
  admit(object: KubeObject): KubeObject
  validate(object: KubeObject): FieldError[]
  validateUpdate(next: KubeObject, current: KubeObject): FieldError[]
  /** What is wrong with a name, or nothing. */
  complainAboutName(name: string): string | undefined
  /** Whether an update without a resourceVersion overwrites, instead of being refused. */
  unconditionalUpdate: boolean
  /** Whether an update of what does not exist creates it. */
  createOnUpdate: boolean
}

const subdomainHelp =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

function complainAboutSubdomain(name: string): string | undefined {
  if (name.length > 253) return 'must be no more than 253 bytes'
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name) ? undefined : subdomainHelp
}

function complainAboutLabel(name: string): string | undefined {
  if (name.length > 63) return 'must be no more than 63 bytes'
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) ? undefined : dnsLabelHelp
}

/** apimachinery `path.ValidatePathSegmentName`, which RBAC names go by. */
function complainAboutSegment(name: string): string | undefined {
  if (name === '.' || name === '..') return `may not be '${name}'`
  const bad = ['/', '%'].find((char) => name.includes(char))
  return bad === undefined ? undefined : `may not contain '${bad}'`
}

const plain: Strategy = {
  normalize: (object) => object,
  admit: (object) => object,
  validate: () => [],
  validateUpdate: () => [],
  complainAboutName: complainAboutSubdomain,
  unconditionalUpdate: true,
  createOnUpdate: false,
}

const pod: Strategy = {
  ...plain,
  normalize: (object) => normalizePodStatus(defaultPod(object)),
  admit: admitPod,
  validate: validatePod,
  validateUpdate: validatePodUpdate,
}

function normalizeMicroTime(field: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  const found = typeof value === 'string' ? /^(.*T\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(value) : null
  const at = found === null ? Number.NaN : Date.parse(`${found[1]}${found[3]}`)
  if (found === null || Number.isNaN(at)) {
    throw badRequest(
      `Lease in version "v1" cannot be handled as a Lease: parsing time ${JSON.stringify(JSON.stringify(value))} as "2006-01-02T15:04:05.000000Z07:00": cannot parse ${JSON.stringify(String(value))} as "2006" (${field})`,
    )
  }
  const digits = (found[2] ?? '').slice(0, 6).padEnd(6, '0')
  return `${new Date(at).toISOString().slice(0, 19)}.${digits}Z`
}

const lease: Strategy = {
  ...plain,
  unconditionalUpdate: false,
  normalize(object) {
    const spec: JsonObject = { ...objectAt(object, 'spec') }
    for (const field of ['acquireTime', 'renewTime']) {
      const time = normalizeMicroTime(field, spec[field])
      if (time === undefined) delete spec[field]
      else spec[field] = time
    }
    return { ...object, spec }
  },
  validate(object) {
    const { leaseDurationSeconds: duration, leaseTransitions: transitions } = objectAt(object, 'spec')
    const errors: FieldError[] = []
    if (typeof duration === 'number' && duration <= 0) {
      errors.push({
        field: 'spec.leaseDurationSeconds',
        type: 'Invalid',
        value: duration,
        detail: 'must be greater than 0',
      })
    }
    if (typeof transitions === 'number' && transitions < 0) {
      errors.push({
        field: 'spec.leaseTransitions',
        type: 'Invalid',
        value: transitions,
        detail: 'must be greater than or equal to 0',
      })
    }
    return errors
  },
}

const namespace: Strategy = {
  ...plain,
  complainAboutName: complainAboutLabel,
  normalize: (object) => ({
    ...object,
    metadata: {
      ...object.metadata,
      labels: { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name ?? '' },
    },
    spec: { finalizers: ['kubernetes'], ...objectAt(object, 'spec') },
    status: { phase: 'Active', ...objectAt(object, 'status') },
  }),
}

const node: Strategy = {
  ...plain,
  normalize: (object) => ({ ...object, spec: objectAt(object, 'spec'), status: objectAt(object, 'status') }),
}

const rbacGroup = 'rbac.authorization.k8s.io'

function validateBinding(object: KubeObject): FieldError[] {
  const ref = objectAt(object, 'roleRef')
  const kinds = object.kind === 'RoleBinding' ? ['ClusterRole', 'Role'] : ['ClusterRole']
  const errors: FieldError[] = []
  if (text(ref.apiGroup) !== rbacGroup) {
    errors.push({
      field: 'roleRef.apiGroup',
      type: 'NotSupported',
      value: text(ref.apiGroup),
      detail: `supported values: "${rbacGroup}"`,
    })
  }
  if (!kinds.includes(text(ref.kind))) {
    const supported = kinds.map((kind) => `"${kind}"`).join(', ')
    errors.push({
      field: 'roleRef.kind',
      type: 'NotSupported',
      value: text(ref.kind),
      detail: `supported values: ${supported}`,
    })
  }
  if (text(ref.name) === '') errors.push({ field: 'roleRef.name', type: 'Required', detail: '' })
  for (const [index, subject] of objectsIn(object.subjects).entries()) {
    const field = `subjects[${index}]`
    if (text(subject.name) === '') errors.push({ field: `${field}.name`, type: 'Required', detail: '' })
    if (!['ServiceAccount', 'User', 'Group'].includes(text(subject.kind))) {
      errors.push({
        field: `${field}.kind`,
        type: 'NotSupported',
        value: text(subject.kind),
        detail: 'supported values: "Group", "ServiceAccount", "User"',
      })
    } else if (subject.kind === 'ServiceAccount' && text(subject.namespace) === '') {
      errors.push({ field: `${field}.namespace`, type: 'Required', detail: '' })
    }
  }
  return errors
}

const binding: Strategy = {
  ...plain,
  createOnUpdate: true,
  complainAboutName: complainAboutSegment,
  normalize: (object) => ({
    ...object,
    ...(Array.isArray(object.subjects)
      ? {
          subjects: objectsIn(object.subjects).map((subject) =>
            subject.kind === 'User' || subject.kind === 'Group' ? { apiGroup: rbacGroup, ...subject } : subject,
          ),
        }
      : {}),
    roleRef: { ...objectAt(object, 'roleRef'), apiGroup: text(objectAt(object, 'roleRef').apiGroup) || rbacGroup },
  }),
  validate: validateBinding,
  validateUpdate(next, current) {
    const ref = objectAt(next, 'roleRef')
    if (sameJson(ref, objectAt(current, 'roleRef'))) return []
    // Go prints the internal struct, whose JSON names are the field names.
    const value = { APIGroup: text(ref.apiGroup), Kind: text(ref.kind), Name: text(ref.name) }
    return [{ field: 'roleRef', type: 'Invalid', value, detail: 'cannot change roleRef' }]
  },
}

const role: Strategy = {
  ...plain,
  createOnUpdate: true,
  complainAboutName: complainAboutSegment,
  normalize: (object) => ({ ...object, rules: Array.isArray(object.rules) ? object.rules : null }),
  validate(object) {
    return objectsIn(object.rules).flatMap((rule, index) =>
      Array.isArray(rule.verbs) && rule.verbs.length > 0
        ? []
        : [
            {
              field: `rules[${index}].verbs`,
              type: 'Required' as const,
              detail: 'verbs must contain at least one value',
            },
          ],
    )
  },
}

const event: Strategy = {
  ...plain,
  createOnUpdate: true,
  normalize: (object) => ({
    ...object,
    involvedObject: objectAt(object, 'involvedObject'),
    source: objectAt(object, 'source'),
    firstTimestamp: object.firstTimestamp ?? null,
    lastTimestamp: object.lastTimestamp ?? null,
    eventTime: object.eventTime ?? null,
    reportingComponent: text(object.reportingComponent),
    reportingInstance: text(object.reportingInstance),
  }),
}

const strategies: Record<string, Strategy> = {
  Pod: pod,
  Lease: lease,
  Namespace: namespace,
  Node: node,
  RoleBinding: binding,
  ClusterRoleBinding: binding,
  Role: role,
  ClusterRole: role,
  Event: event,
}

export function strategyOf(resource: Resource): Strategy {
  return strategies[resource.kind] ?? plain
}

/** Checks that hold for every kind. Source: apimachinery `pkg/api/validation/objectmeta.go`. */
export function validateMetadata(object: KubeObject, strategy: Strategy): FieldError[] {
  const { name = '', labels, annotations } = object.metadata
  const errors: FieldError[] = []
  if (name === '') errors.push({ field: 'metadata.name', type: 'Required', detail: 'name or generateName is required' })
  else {
    const complaint = strategy.complainAboutName(name)
    if (complaint !== undefined)
      errors.push({ field: 'metadata.name', type: 'Invalid', value: name, detail: complaint })
  }
  for (const [key, value] of Object.entries(isObject(labels) ? labels : {})) {
    const aboutKey = complainAboutLabelKey(key)
    if (aboutKey !== undefined) errors.push({ field: 'metadata.labels', type: 'Invalid', value: key, detail: aboutKey })
    const aboutValue = complainAboutLabelValue(String(value))
    if (aboutValue !== undefined) errors.push({ field: 'metadata.labels', type: 'Invalid', value, detail: aboutValue })
  }
  for (const key of Object.keys(isObject(annotations) ? annotations : {})) {
    const complaint = complainAboutLabelKey(key.toLowerCase())
    if (complaint !== undefined)
      errors.push({ field: 'metadata.annotations', type: 'Invalid', value: key, detail: complaint })
  }
  return errors
}
