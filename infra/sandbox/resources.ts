import { type JsonObject, type KubeObject, objectAt, text } from './kube-object.ts'
import { columnsOf, type TableShape } from './tables.ts'

/** A path below an object that has verbs of its own. */
export interface Subresource {
  name: string
  kind: string
  verbs: readonly string[]
  /** Group and version of the kind, where it is not the parent's. */
  group?: string
  version?: string
}

/** One row of the table that drives routing, discovery, storage, selectors and printing. */
export interface Resource {
  group: string
  version: string
  plural: string
  singular: string
  kind: string
  namespaced: boolean
  verbs: readonly string[]
  shortNames: readonly string[]
  categories: readonly string[]
  storageVersionHash: string
  subresources: readonly Subresource[]
  /** Field selectors beyond `metadata.name` and `metadata.namespace`. */
  fields: Readonly<Record<string, (object: KubeObject) => string>>
  /** How an unknown field label is refused: core kinds word it differently from the rest. */
  fieldRefusal: 'core' | 'generic'
  /** Whether `metadata.generation` counts changes of the spec. */
  counted: boolean
  /** What Go's zero value of the kind marshals to beside metadata, as bookmarks show it. */
  blank: JsonObject
  table: TableShape
  /** False for kinds that are answered and never stored, such as SubjectAccessReview. */
  stored: boolean
}

const everyVerb = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const statusVerbs = ['get', 'patch', 'update']

/** Fills a row's defaults; `group`, `plural` and `kind` are what a row cannot do without. */
export function defineResource(row: Pick<Resource, 'group' | 'plural' | 'kind'> & Partial<Resource>): Resource {
  return {
    version: 'v1',
    singular: row.kind.toLowerCase(),
    namespaced: true,
    verbs: everyVerb,
    shortNames: [],
    categories: [],
    storageVersionHash: '',
    subresources: [],
    fields: {},
    fieldRefusal: row.group === '' ? 'core' : 'generic',
    counted: false,
    blank: {},
    table: columnsOf(row.kind),
    stored: true,
    ...row,
  }
}

/** The name under which a resource is stored and named in errors: `pods`, `leases.coordination.k8s.io`. */
export function resourceKey(resource: { group: string; plural: string }): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
}

/** `v1`, `coordination.k8s.io/v1`. */
export function apiVersionOf(resource: { group: string; version: string }): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`
}

const field =
  (...path: string[]) =>
  (object: KubeObject): string =>
    text(objectAt(object, ...path.slice(0, -1))[path[path.length - 1] ?? ''])

const involved = (key: string) => field('involvedObject', key)

function review(group: string, plural: string, kind: string, namespaced = false): Resource {
  return defineResource({ group, plural, kind, namespaced, verbs: ['create'], stored: false })
}

const rbac = 'rbac.authorization.k8s.io'
const emptyRoleRef = { roleRef: { apiGroup: '', kind: '', name: '' } }

/** What every sandbox serves; the order is the order of discovery. */
export const builtinResources: readonly Resource[] = [
  defineResource({
    group: '',
    plural: 'bindings',
    kind: 'Binding',
    verbs: ['create'],
    stored: false,
  }),
  defineResource({
    group: '',
    plural: 'configmaps',
    kind: 'ConfigMap',
    shortNames: ['cm'],
    storageVersionHash: 'qFsyl6wFWjQ=',
  }),
  defineResource({
    group: '',
    plural: 'events',
    kind: 'Event',
    shortNames: ['ev'],
    storageVersionHash: 'r2yiGXH7wu8=',
    fields: {
      'involvedObject.kind': involved('kind'),
      'involvedObject.namespace': involved('namespace'),
      'involvedObject.name': involved('name'),
      'involvedObject.uid': involved('uid'),
      'involvedObject.apiVersion': involved('apiVersion'),
      'involvedObject.resourceVersion': involved('resourceVersion'),
      'involvedObject.fieldPath': involved('fieldPath'),
      reason: field('reason'),
      reportingComponent: field('reportingComponent'),
      source: field('source', 'component'),
      type: field('type'),
    },
    blank: {
      involvedObject: {},
      source: {},
      firstTimestamp: null,
      lastTimestamp: null,
      eventTime: null,
      reportingComponent: '',
      reportingInstance: '',
    },
  }),
  defineResource({
    group: '',
    plural: 'namespaces',
    kind: 'Namespace',
    namespaced: false,
    verbs: everyVerb.filter((verb) => verb !== 'deletecollection'),
    shortNames: ['ns'],
    storageVersionHash: 'Q3oi5N2YM8M=',
    subresources: [
      { name: 'finalize', kind: 'Namespace', verbs: ['update'] },
      { name: 'status', kind: 'Namespace', verbs: statusVerbs },
    ],
    fields: { 'status.phase': field('status', 'phase') },
    blank: { spec: {}, status: {} },
  }),
  defineResource({
    group: '',
    plural: 'nodes',
    kind: 'Node',
    namespaced: false,
    shortNames: ['no'],
    storageVersionHash: 'XwShjMxG9Fs=',
    subresources: [{ name: 'status', kind: 'Node', verbs: statusVerbs }],
    fields: { 'spec.unschedulable': (node) => String(objectAt(node, 'spec').unschedulable === true) },
    blank: {
      spec: {},
      status: {
        daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
        nodeInfo: {
          machineID: '',
          systemUUID: '',
          bootID: '',
          kernelVersion: '',
          osImage: '',
          containerRuntimeVersion: '',
          kubeletVersion: '',
          kubeProxyVersion: '',
          operatingSystem: '',
          architecture: '',
        },
      },
    },
  }),
  defineResource({
    group: '',
    plural: 'pods',
    kind: 'Pod',
    shortNames: ['po'],
    categories: ['all'],
    storageVersionHash: 'xPOwRZ+Yhw8=',
    subresources: [
      { name: 'binding', kind: 'Binding', verbs: ['create'] },
      { name: 'eviction', kind: 'Eviction', verbs: ['create'], group: 'policy', version: 'v1' },
      { name: 'status', kind: 'Pod', verbs: statusVerbs },
    ],
    fields: {
      'spec.nodeName': field('spec', 'nodeName'),
      'spec.restartPolicy': field('spec', 'restartPolicy'),
      'spec.schedulerName': field('spec', 'schedulerName'),
      'spec.serviceAccountName': field('spec', 'serviceAccountName'),
      'spec.hostNetwork': (pod) => String(objectAt(pod, 'spec').hostNetwork === true),
      'status.phase': field('status', 'phase'),
      'status.podIP': field('status', 'podIP'),
      'status.nominatedNodeName': field('status', 'nominatedNodeName'),
    },
    counted: true,
    blank: { spec: { containers: null }, status: {} },
  }),
  defineResource({
    group: '',
    plural: 'serviceaccounts',
    kind: 'ServiceAccount',
    shortNames: ['sa'],
    storageVersionHash: 'pbx9ZvyFpBE=',
    subresources: [
      { name: 'token', kind: 'TokenRequest', verbs: ['create'], group: 'authentication.k8s.io', version: 'v1' },
    ],
  }),
  review('authentication.k8s.io', 'selfsubjectreviews', 'SelfSubjectReview'),
  review('authentication.k8s.io', 'tokenreviews', 'TokenReview'),
  review('authorization.k8s.io', 'localsubjectaccessreviews', 'LocalSubjectAccessReview', true),
  review('authorization.k8s.io', 'selfsubjectaccessreviews', 'SelfSubjectAccessReview'),
  review('authorization.k8s.io', 'selfsubjectrulesreviews', 'SelfSubjectRulesReview'),
  review('authorization.k8s.io', 'subjectaccessreviews', 'SubjectAccessReview'),
  defineResource({
    group: rbac,
    plural: 'clusterrolebindings',
    kind: 'ClusterRoleBinding',
    namespaced: false,
    blank: emptyRoleRef,
    storageVersionHash: '48tpQ8gZHFc=',
  }),
  defineResource({
    group: rbac,
    plural: 'clusterroles',
    kind: 'ClusterRole',
    namespaced: false,
    blank: { rules: null },
    storageVersionHash: 'bYE5ZWDrJ44=',
  }),
  defineResource({
    group: rbac,
    plural: 'rolebindings',
    kind: 'RoleBinding',
    blank: emptyRoleRef,
    storageVersionHash: 'eGsCzGH6b1g=',
  }),
  defineResource({
    group: rbac,
    plural: 'roles',
    kind: 'Role',
    blank: { rules: null },
    storageVersionHash: '7FuwZcIIItM=',
  }),
  defineResource({
    group: 'coordination.k8s.io',
    plural: 'leases',
    kind: 'Lease',
    blank: { spec: {} },
    storageVersionHash: 'gqkMMb/YqFM=',
  }),
]
