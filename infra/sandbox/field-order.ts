import { isObject, type Json, type JsonObject, type KubeObject } from './kube-object.ts'

// The real server writes struct fields in declaration order and maps sorted. Clients do not care, but a recording
// compared byte by byte does, and so do people who read the wire.

const metadata = [
  'name',
  'generateName',
  'namespace',
  'selfLink',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'labels',
  'annotations',
  'ownerReferences',
  'finalizers',
  'managedFields',
]
const ownerReferences = ['apiVersion', 'kind', 'name', 'uid', 'controller', 'blockOwnerDeletion']
const managedFields = ['manager', 'operation', 'apiVersion', 'time', 'fieldsType', 'fieldsV1', 'subresource']
const podSpec = [
  'volumes',
  'initContainers',
  'containers',
  'ephemeralContainers',
  'restartPolicy',
  'terminationGracePeriodSeconds',
  'activeDeadlineSeconds',
  'dnsPolicy',
  'nodeSelector',
  'serviceAccountName',
  'serviceAccount',
  'automountServiceAccountToken',
  'nodeName',
  'hostNetwork',
  'hostPID',
  'hostIPC',
  'shareProcessNamespace',
  'securityContext',
  'imagePullSecrets',
  'hostname',
  'subdomain',
  'affinity',
  'schedulerName',
  'tolerations',
  'hostAliases',
  'priorityClassName',
  'priority',
  'dnsConfig',
  'readinessGates',
  'runtimeClassName',
  'enableServiceLinks',
  'preemptionPolicy',
  'overhead',
  'topologySpreadConstraints',
  'setHostnameAsFQDN',
  'os',
  'hostUsers',
  'schedulingGates',
  'resourceClaims',
  'resources',
]
const container = [
  'name',
  'image',
  'command',
  'args',
  'workingDir',
  'ports',
  'envFrom',
  'env',
  'resources',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
  'volumeMounts',
  'volumeDevices',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'terminationMessagePath',
  'terminationMessagePolicy',
  'imagePullPolicy',
  'securityContext',
  'stdin',
  'stdinOnce',
  'tty',
]
const podStatus = [
  'observedGeneration',
  'phase',
  'conditions',
  'message',
  'reason',
  'nominatedNodeName',
  'hostIP',
  'hostIPs',
  'podIP',
  'podIPs',
  'startTime',
  'initContainerStatuses',
  'containerStatuses',
  'qosClass',
  'ephemeralContainerStatuses',
  'resize',
  'resourceClaimStatuses',
]
const condition = [
  'type',
  'observedGeneration',
  'status',
  'lastProbeTime',
  'lastHeartbeatTime',
  'lastTransitionTime',
  'reason',
  'message',
]
const containerStatus = [
  'name',
  'state',
  'lastState',
  'ready',
  'restartCount',
  'image',
  'imageID',
  'containerID',
  'started',
  'allocatedResources',
  'resources',
  'volumeMounts',
]
const leaseSpec = [
  'holderIdentity',
  'leaseDurationSeconds',
  'acquireTime',
  'renewTime',
  'leaseTransitions',
  'strategy',
  'preferredHolder',
]
const subject = ['kind', 'apiGroup', 'name', 'namespace']
const roleRef = ['apiGroup', 'kind', 'name']
const rule = ['verbs', 'apiGroups', 'resources', 'resourceNames', 'nonResourceURLs']
const resourceAttributes = ['namespace', 'verb', 'group', 'version', 'resource', 'subresource', 'name']
const reviewSpec = [
  'resourceAttributes',
  'nonResourceAttributes',
  'user',
  'groups',
  'extra',
  'uid',
  'token',
  'audiences',
]
const tokenStatus = ['authenticated', 'user', 'audiences', 'error']
const accessStatus = ['allowed', 'denied', 'reason', 'evaluationError']
const top = [
  'kind',
  'apiVersion',
  'metadata',
  'data',
  'secrets',
  'imagePullSecrets',
  'subjects',
  'roleRef',
  'rules',
  'spec',
  'status',
]
const reference = ['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath']

/** Which declaration order governs an object, by the path of keys that leads to it (array steps left out). */
const ordersByKind: Record<string, Record<string, readonly string[]>> = {
  Pod: {
    spec: podSpec,
    'spec.containers': container,
    'spec.initContainers': container,
    'spec.ephemeralContainers': container,
    status: podStatus,
    'status.conditions': condition,
    'status.containerStatuses': containerStatus,
    'status.initContainerStatuses': containerStatus,
  },
  Lease: { spec: leaseSpec },
  Node: { 'status.conditions': condition },
  RoleBinding: { subjects: subject, roleRef },
  ClusterRoleBinding: { subjects: subject, roleRef },
  Role: { rules: rule },
  ClusterRole: { rules: rule },
  Event: { involvedObject: reference },
  SubjectAccessReview: { spec: reviewSpec, 'spec.resourceAttributes': resourceAttributes, status: accessStatus },
  SelfSubjectAccessReview: { spec: reviewSpec, 'spec.resourceAttributes': resourceAttributes, status: accessStatus },
  LocalSubjectAccessReview: { spec: reviewSpec, 'spec.resourceAttributes': resourceAttributes, status: accessStatus },
  TokenReview: {
    spec: ['token', 'audiences'],
    status: tokenStatus,
    'status.user': ['username', 'uid', 'groups', 'extra'],
  },
}

function arrange(object: JsonObject, order: readonly string[]): JsonObject {
  const out: JsonObject = {}
  for (const key of order) {
    const value = object[key]
    if (value !== undefined) out[key] = value
  }
  for (const key of Object.keys(object)) {
    const value = object[key]
    if (value !== undefined && !(key in out)) out[key] = value
  }
  return out
}

function sortKeys(object: JsonObject): JsonObject {
  return arrange(object, Object.keys(object).sort())
}

/** Results of earlier visits: stored objects share most of their parts with their predecessors. */
const arranged = new WeakSet<object>()

function visit(value: Json, path: string, orders: Record<string, readonly string[]>): Json {
  if (typeof value !== 'object' || value === null || arranged.has(value)) return value
  if (Array.isArray(value)) {
    const items = value.map((item) => visit(item, path, orders))
    arranged.add(items)
    return items
  }
  const order = orders[path]
  const ordered = order === undefined ? value : arrange(value, order)
  const out: JsonObject = {}
  for (const key of Object.keys(ordered)) {
    const child = ordered[key]
    if (child !== undefined) out[key] = visit(child, path === '' ? key : `${path}.${key}`, orders)
  }
  arranged.add(out)
  return out
}

function arrangeMetadata(meta: JsonObject): JsonObject {
  const out = arrange(meta, metadata)
  for (const map of ['labels', 'annotations']) {
    const value = out[map]
    if (isObject(value)) out[map] = sortKeys(value)
  }
  if (Array.isArray(out.ownerReferences)) {
    out.ownerReferences = out.ownerReferences.map((item) => (isObject(item) ? arrange(item, ownerReferences) : item))
  }
  if (Array.isArray(out.managedFields)) {
    out.managedFields = out.managedFields.map((item) => (isObject(item) ? arrange(item, managedFields) : item))
  }
  return out
}

/** The same object with its keys in the order in which the real server writes them. */
export function arrangeFields(object: KubeObject): KubeObject {
  const { metadata: meta, ...rest } = object
  const orders = ordersByKind[object.kind] ?? {}
  const body = visit(rest as JsonObject, '', orders) as JsonObject
  return arrange({ ...body, metadata: arrangeMetadata(meta as JsonObject) }, top) as unknown as KubeObject
}

/** Kinds whose fields at the top are all known, beside kind, apiVersion and metadata. */
const topFields: Record<string, readonly string[]> = {
  Pod: ['spec', 'status'],
  Lease: ['spec'],
  RoleBinding: ['subjects', 'roleRef'],
  ClusterRoleBinding: ['subjects', 'roleRef'],
  Role: ['rules'],
  ClusterRole: ['rules', 'aggregationRule'],
  Namespace: ['spec', 'status'],
}

/** The names of all fields of the struct at a path; undefined where this server does not know them. */
export function knownFields(kind: string, path: string): readonly string[] | undefined {
  if (path === 'metadata') return metadata
  const top = topFields[kind]
  if (path === '') return top === undefined ? undefined : ['kind', 'apiVersion', 'metadata', ...top]
  // A Node's conditions and an Event's reference are ordered here, and not listed in full.
  return top === undefined ? undefined : ordersByKind[kind]?.[path]
}
