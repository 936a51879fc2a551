import { invalid } from './errors.ts'

/** One collection to watch. */
export interface WatchedResource {
  /** Empty for the core group. */
  group: string
  /** Empty while the name came alone and only the server can tell what it means; see `isSettled`. */
  version: string
  /** Plural and lower-case, as in the API's paths. */
  resource: string
  /** In lower case, as the server names it; absent where the plural tells. */
  kind?: string
  /** Only this namespace; absent for the whole cluster. */
  namespace?: string
  labelSelector?: string
  fieldSelector?: string
  /** Events carry the whole object as `object`, beside the fields that the relay picks. */
  object?: 'full'
  /** Whose values the whole object shows; all others are `[redacted]`. */
  reveal?: SecretKind[]
}

/**
 * What a whole object hides unless it is revealed by name: values of annotations, commands and their arguments, whatever
 * looks like a credential by its name or its form, `data` of ConfigMaps and Secrets, values in `env`, HTTP headers of
 * probes, messages in statuses, attributes of volumes.
 */
const secretKinds = ['annotations', 'commands', 'credentials', 'data', 'env', 'headers', 'messages', 'volumes'] as const

export type SecretKind = (typeof secretKinds)[number]

/** What may be named without group and version. */
const known: Readonly<Record<string, Pick<WatchedResource, 'group' | 'version'>>> = {
  pods: { group: '', version: 'v1' },
  nodes: { group: '', version: 'v1' },
  namespaces: { group: '', version: 'v1' },
  services: { group: '', version: 'v1' },
  leases: { group: 'coordination.k8s.io', version: 'v1' },
  deployments: { group: 'apps', version: 'v1' },
  replicasets: { group: 'apps', version: 'v1' },
  statefulsets: { group: 'apps', version: 'v1' },
  daemonsets: { group: 'apps', version: 'v1' },
  jobs: { group: 'batch', version: 'v1' },
  roles: { group: 'rbac.authorization.k8s.io', version: 'v1' },
  rolebindings: { group: 'rbac.authorization.k8s.io', version: 'v1' },
  clusterroles: { group: 'rbac.authorization.k8s.io', version: 'v1' },
  clusterrolebindings: { group: 'rbac.authorization.k8s.io', version: 'v1' },
}

const item = /^(?:(?:([a-z0-9][-a-z0-9.]*)\/)?(v[0-9][a-z0-9]*)\/)?([a-z][a-z0-9]*)(?:\?(.*))?$/
const namespaceName = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/

/** Kubelets renew theirs every ten seconds: on a large cluster that is most of the traffic, so it is watched only when asked for. */
const withoutNodeLeases = 'metadata.namespace!=kube-node-lease'

/**
 * Reads a list of resources: `pods`, `v1/pods` or `apps/v1/deployments`, each with an optional query of `namespace`,
 * `labelSelector` and `fieldSelector` (`pods?namespace=shop&labelSelector=app=web`). Items are separated by commas or by
 * spaces; after an item with a query only a space ends it, since selectors hold commas. Leases leave out the namespace
 * `kube-node-lease` unless a query says otherwise (`leases?` takes all). `object=full` puts whole objects into the events,
 * with most values `[redacted]`; `reveal=env,annotations` shows those of the kinds that it names.
 * @throws RelayError `invalid`, naming the item.
 */
export function parseResources(text: string, field = 'RELAY_RESOURCES'): WatchedResource[] {
  const resources = parseConfigured(text, field)
  for (const { version, resource } of resources) {
    if (version === '') throw invalid(field, `"${resource}" needs its group and version: group/version/${resource}`)
  }
  return resources
}

/**
 * Reads the same, for those who can wait until the watcher has asked the server what a name like `ingresses` or
 * `certificates` means.
 * @throws RelayError `invalid`, naming the item.
 */
export function parseConfigured(text: string, field = 'RELAY_RESOURCES'): WatchedResource[] {
  const items = text.split(/\s+/).flatMap((part) => splitPart(part))
  const resources = items.filter((part) => part !== '').map((part) => parseItem(part, field))
  if (resources.length === 0) throw invalid(field, 'names no resource; for example pods,leases')
  const scopes = new Set<string>()
  for (const { group, resource, namespace } of resources) {
    const kind = nameResource({ group, resource })
    const isCovered = scopes.has(kind) || scopes.has(`${kind}/${namespace}`)
    const coversOthers = namespace === undefined && [...scopes].some((scope) => scope.startsWith(`${kind}/`))
    if (isCovered || coversOthers) throw invalid(field, `${kind} is named twice for the same namespace`)
    scopes.add(namespace === undefined ? kind : `${kind}/${namespace}`)
  }
  return resources
}

function splitPart(part: string): string[] {
  const query = part.indexOf('?')
  if (query === -1) return part.split(',')
  const start = part.lastIndexOf(',', query) + 1
  return [...part.slice(0, start).split(','), part.slice(start)]
}

function parseItem(text: string, field: string): WatchedResource {
  const match = item.exec(text)
  const resource = match?.[3]
  if (resource === undefined) {
    throw invalid(field, `"${text}" is no resource; write pods, v1/pods or apps/v1/deployments`)
  }
  const unsettled = { group: '', version: '' }
  const place = match?.[2] === undefined ? (known[resource] ?? unsettled) : { group: match[1] ?? '', version: match[2] }
  const watched: WatchedResource = { ...place, resource }
  for (const [name, value] of new URLSearchParams((match?.[4] ?? '').replaceAll('+', '%2B'))) {
    if (name === 'namespace' || name === 'labelSelector' || name === 'fieldSelector') {
      if (name === 'namespace' && !namespaceName.test(value)) throw invalid(field, `"${value}" is no namespace`)
      watched[name] = value
    } else if (name === 'object') {
      if (value !== 'full') throw invalid(field, `object=${value} is not known; there is object=full`)
      watched.object = value
    } else if (name === 'reveal') {
      watched.reveal = value.split(',').map((kind) => readSecretKind(kind, field))
    } else {
      const names = 'namespace, labelSelector, fieldSelector, object and reveal'
      throw invalid(field, `"${text}" has "${name}"; there are ${names}`)
    }
  }
  if (watched.reveal !== undefined && watched.object === undefined) {
    throw invalid(field, `"${text}" reveals values of an object that it does not ask for; add object=full`)
  }
  const { namespace, labelSelector, fieldSelector } = watched
  const isNarrowed = (namespace ?? labelSelector ?? fieldSelector) !== undefined
  if (resource === 'leases' && match?.[4] !== '' && !isNarrowed) watched.fieldSelector = withoutNodeLeases
  return watched
}

function readSecretKind(text: string, field: string): SecretKind {
  const kind = secretKinds.find((one) => one === text)
  if (kind === undefined) throw invalid(field, `reveal=${text} is not known; there are ${secretKinds.join(', ')}`)
  return kind
}

/** Whether it is certain what this means, without asking the server: it is one that every cluster has, or the server was asked. */
export function isSettled({ group, version, resource, kind }: WatchedResource): boolean {
  const usual = known[resource]
  return kind !== undefined || (usual?.group === group && usual.version === version)
}

/** `pods`, or `leases.coordination.k8s.io`: the name under which a resource's current objects are kept. */
export function nameResource({ group, resource }: Pick<WatchedResource, 'group' | 'resource'>): string {
  return group === '' ? resource : `${resource}.${group}`
}

/** The kind in lower case as event types name it: the server's, else `networkpolicies` to `networkpolicy`, `ingresses` to `ingress`, `pods` to `pod`. */
export function nameKind({ resource, kind }: Pick<WatchedResource, 'resource' | 'kind'>): string {
  if (kind !== undefined) return kind
  if (resource.endsWith('ies')) return `${resource.slice(0, -3)}y`
  if (/(?:ss|x|ch|sh)es$/.test(resource)) return resource.slice(0, -2)
  return resource === 'endpoints' ? resource : resource.replace(/s$/, '')
}

/** The path of a collection in the Kubernetes API; without its root while that is not known. */
export function pathOf(watched: Pick<WatchedResource, 'group' | 'version' | 'resource' | 'namespace'>): string {
  const { group, version, resource, namespace } = watched
  const root = version === '' ? '' : group === '' ? `/api/${version}/` : `/apis/${group}/${version}/`
  return namespace === undefined ? `${root}${resource}` : `${root}namespaces/${namespace}/${resource}`
}

/** Names a watched collection with everything that decides what is in it: a cursor for one is no cursor for another. */
export function nameFeed(watched: WatchedResource): string {
  const query = new URLSearchParams()
  if (watched.labelSelector) query.set('labelSelector', watched.labelSelector)
  if (watched.fieldSelector) query.set('fieldSelector', watched.fieldSelector)
  return query.size === 0 ? pathOf(watched) : `${pathOf(watched)}?${query}`
}
