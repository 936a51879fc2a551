import { nameResource, type WatchedResource } from '../../../shared/resource.ts'

const group = 'rbac.authorization.k8s.io'

/** What a watcher does with a resource: lists it, watches it, and reads one object to make sure that it is still as known. */
const verbs = ['get', 'list', 'watch'] as const

/** One thing that the relay has to be allowed. */
export interface Need {
  verb: (typeof verbs)[number] | 'create'
  /** Of the API; empty for the core. */
  group: string
  resource: string
  /** Absent: everywhere. */
  namespace?: string
  /** Only the object of this name. */
  name?: string
}

/** Who is to be allowed. */
export type Subject =
  | { kind: 'ServiceAccount'; name: string; namespace: string }
  | { kind: 'User'; name: string; apiGroup: typeof group }

interface Rule {
  apiGroups: string[]
  resources: string[]
  verbs: string[]
  resourceNames?: string[]
}

/** A Role, a ClusterRole, or the binding of one. */
export interface Manifest {
  apiVersion: string
  kind: 'Role' | 'RoleBinding' | 'ClusterRole' | 'ClusterRoleBinding'
  metadata: { name: string; namespace?: string; labels: Record<string, string> }
  rules?: Rule[]
  roleRef?: { apiGroup: string; kind: string; name: string }
  subjects?: Subject[]
}

/** The namespace that tells one cluster from another: its uid is the cluster's. */
const identityNamespace = 'kube-system'

/** To ask whose a token is and what its owner may do, as ClusterRole `system:auth-delegator` allows. */
const reviews: readonly Need[] = [
  { verb: 'create', group: 'authentication.k8s.io', resource: 'tokenreviews' },
  { verb: 'create', group: 'authorization.k8s.io', resource: 'subjectaccessreviews' },
]

/**
 * Everything that watching these resources takes, and nothing more.
 * @param also.withIdentity what it takes to notice that another cluster answers under the same address.
 * @param also.withReviews what it takes to know callers by their tokens of the cluster.
 */
export function listNeeds(
  resources: readonly WatchedResource[],
  also: { withIdentity: boolean; withReviews: boolean },
): Need[] {
  const needs = resources.flatMap(({ group, resource, namespace }) =>
    verbs.map((verb): Need => ({ verb, group, resource, ...(namespace === undefined ? {} : { namespace }) })),
  )
  const identity: Need = {
    verb: 'get',
    group: '',
    resource: 'namespaces',
    namespace: identityNamespace,
    name: identityNamespace,
  }
  const isCovered = needs.some(
    ({ group, resource, namespace }) => `${group}/${resource}` === '/namespaces' && !namespace,
  )
  return [...needs, ...(also.withReviews ? reviews : []), ...(also.withIdentity && !isCovered ? [identity] : [])]
}

/**
 * The roles that allow what is needed, and their bindings: a Role in each namespace that is named, a ClusterRole for what is
 * needed everywhere.
 * @param name of all of them.
 */
export function buildManifests(needs: readonly Need[], name: string, subject: Subject): Manifest[] {
  const places = Map.groupBy(needs, ({ namespace }) => namespace)
  return [...places].flatMap(([namespace, own]) => {
    const labels = { 'app.kubernetes.io/name': 'kube-watch-relay', 'app.kubernetes.io/component': 'watcher' }
    const metadata = { name, ...(namespace === undefined ? {} : { namespace }), labels }
    const kind = namespace === undefined ? 'ClusterRole' : 'Role'
    const apiVersion = `${group}/v1`
    return [
      { apiVersion, kind, metadata, rules: buildRules(own) },
      {
        apiVersion,
        kind: `${kind}Binding` as const,
        metadata,
        roleRef: { apiGroup: group, kind, name },
        subjects: [subject],
      },
    ]
  })
}

/** One rule for each set of verbs in an API group. */
function buildRules(needs: readonly Need[]): Rule[] {
  const objects = Map.groupBy(needs, ({ group, resource, name = '' }) => `${nameResource({ group, resource })}/${name}`)
  const wanted = [...objects.values()].flatMap((own) => {
    const first = own[0]
    return first === undefined ? [] : [{ ...first, verbs: own.map(({ verb }) => verb) }]
  })
  const rules = Map.groupBy(wanted, (one) => [one.group, one.name ?? '', ...one.verbs].join(' '))
  return [...rules.values()].flatMap((same) => {
    const first = same[0]
    if (first === undefined) return []
    const rule: Rule = { apiGroups: [first.group], resources: same.map(({ resource }) => resource), verbs: first.verbs }
    return [first.name === undefined ? rule : { ...rule, resourceNames: [first.name] }]
  })
}

/** The path of a manifest's collection. */
export function pathOfManifest({ kind, metadata }: Manifest): string {
  const place = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`
  return `/apis/${group}/v1${place}/${kind.toLowerCase()}s`
}

/** `rolebinding shop/relay`, for people. */
export function describeManifest({ kind, metadata }: Pick<Manifest, 'kind' | 'metadata'>): string {
  return metadata.namespace === undefined
    ? `${kind} ${metadata.name}`
    : `${kind} ${metadata.namespace}/${metadata.name}`
}
