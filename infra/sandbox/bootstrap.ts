import type { JsonObject, KubeObject } from './kube-object.ts'
import type { Store } from './store.ts'
import type { Writer } from './write.ts'

const rbac = 'rbac.authorization.k8s.io'
const byDefault = {
  labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
  annotations: { 'rbac.authorization.kubernetes.io/autoupdate': 'true' },
}
const read = ['get', 'list', 'watch']
const write = ['create', 'delete', 'deletecollection', 'patch', 'update']

function rule(verbs: string[], apiGroups: string[], resources: string[]): JsonObject {
  return { verbs, apiGroups, resources }
}

const viewable = [
  rule(read, [''], ['configmaps', 'events', 'namespaces', 'pods', 'pods/log', 'pods/status', 'serviceaccounts']),
]
const editable = [
  ...viewable,
  rule(write, [''], ['configmaps', 'events', 'pods', 'pods/eviction', 'serviceaccounts']),
  rule([...read, ...write], ['coordination.k8s.io'], ['leases']),
]
const publicPaths = ['/healthz', '/livez', '/readyz', '/version', '/version/']

/** The default ClusterRoles of a real cluster, over the resources that exist here. */
const clusterRoles: Record<string, JsonObject[]> = {
  'cluster-admin': [rule(['*'], ['*'], ['*']), { verbs: ['*'], nonResourceURLs: ['*'] }],
  admin: [
    ...editable,
    rule([...read, ...write], [rbac], ['rolebindings', 'roles']),
    rule(['create'], ['authorization.k8s.io'], ['localsubjectaccessreviews']),
  ],
  edit: editable,
  view: viewable,
  'system:basic-user': [
    rule(['create'], ['authorization.k8s.io'], ['selfsubjectaccessreviews', 'selfsubjectrulesreviews']),
    rule(['create'], ['authentication.k8s.io'], ['selfsubjectreviews']),
  ],
  'system:discovery': [
    {
      verbs: ['get'],
      nonResourceURLs: ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*', ...publicPaths],
    },
  ],
  'system:public-info-viewer': [{ verbs: ['get'], nonResourceURLs: publicPaths }],
  'system:auth-delegator': [
    rule(['create'], ['authentication.k8s.io'], ['tokenreviews']),
    rule(['create'], ['authorization.k8s.io'], ['subjectaccessreviews']),
  ],
}

const clusterRoleBindings: Record<string, string> = {
  'cluster-admin': 'system:masters',
  'system:basic-user': 'system:authenticated',
  'system:discovery': 'system:authenticated',
  'system:public-info-viewer': 'system:authenticated',
}

/** Gives every namespace its `default` service account, now and later, as the controller manager does. */
function keepServiceAccounts(store: Store, writer: Writer): void {
  const accounts = store.resource('serviceaccounts')
  const provide = (namespace: KubeObject) => {
    const name = namespace.metadata.name ?? ''
    if (store.get(accounts, name, 'default') !== undefined) return
    writer.create(accounts, name, { metadata: { name: 'default' } }, { manager: '' })
  }
  for (const namespace of store.list('namespaces')) provide(namespace)
  store.subscribe('namespaces', (event) => {
    if (event.type === 'ADDED') provide(event.object)
  })
}

/** What is there before anybody has created anything: system namespaces, default RBAC, default service accounts. */
export function bootstrapCluster(store: Store, writer: Writer): void {
  const options = { manager: 'kube-apiserver' }
  for (const name of ['default', 'kube-node-lease', 'kube-public', 'kube-system']) {
    writer.create(store.resource('namespaces'), '', { metadata: { name } }, options)
  }
  for (const [name, rules] of Object.entries(clusterRoles)) {
    const metadata = { name, labels: { ...byDefault.labels }, annotations: { ...byDefault.annotations } }
    writer.create(store.resource('clusterroles'), '', { metadata, rules }, options)
  }
  for (const [name, group] of Object.entries(clusterRoleBindings)) {
    const metadata = { name, labels: { ...byDefault.labels }, annotations: { ...byDefault.annotations } }
    const subjects = [{ kind: 'Group', apiGroup: rbac, name: group }]
    const roleRef = { apiGroup: rbac, kind: 'ClusterRole', name }
    writer.create(store.resource('clusterrolebindings'), '', { metadata, subjects, roleRef }, options)
  }
  keepServiceAccounts(store, writer)
}
