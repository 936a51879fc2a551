import type { JsonObject } from './kube-object.ts'
import { apiVersionOf, type Resource, type Subresource } from './resources.ts'

/** `/version`, as the recorded server answered it. */
const versionInfo = {
  major: '1',
  minor: '36',
  emulationMajor: '1',
  emulationMinor: '36',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '35',
  gitVersion: 'v1.36.2',
  gitCommit: '98b35193b2ac7a23a673325f5e9b830ecd5ba406',
  gitTreeState: 'clean',
  buildDate: '2026-08-21T00:00:00Z',
  goVersion: 'go1.26.10',
  compiler: 'gc',
  platform: 'linux/amd64',
}

/** The media type that asks for the whole of discovery in one answer. */
export const aggregatedType = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

export function wantsAggregated(accept: string): boolean {
  return accept
    .split(',')
    .some((clause) => clause.includes('g=apidiscovery.k8s.io') && /(^|;) *v=v2(;|$)/.test(clause.trim()))
}

interface Group {
  name: string
  versions: string[]
}

function groupsOf(resources: readonly Resource[]): Group[] {
  const groups: Group[] = []
  for (const resource of resources) {
    if (resource.group === '') continue
    const group = groups.find((one) => one.name === resource.group)
    if (group === undefined) groups.push({ name: resource.group, versions: [resource.version] })
    else if (!group.versions.includes(resource.version)) group.versions.push(resource.version)
  }
  return groups
}

function groupBody(group: Group): JsonObject {
  const versions = group.versions.map((version) => ({ groupVersion: `${group.name}/${version}`, version }))
  return { name: group.name, versions, preferredVersion: versions[0] ?? {} }
}

function subresourceBody(resource: Resource, subresource: Subresource): JsonObject {
  return {
    name: `${resource.plural}/${subresource.name}`,
    singularName: '',
    namespaced: resource.namespaced,
    ...(subresource.group === undefined ? {} : { group: subresource.group }),
    ...(subresource.version === undefined ? {} : { version: subresource.version }),
    kind: subresource.kind,
    verbs: [...subresource.verbs],
  }
}

function resourceBody(resource: Resource): JsonObject {
  return {
    name: resource.plural,
    singularName: resource.singular,
    namespaced: resource.namespaced,
    kind: resource.kind,
    verbs: [...resource.verbs],
    ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
    ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
    ...(resource.storageVersionHash === '' ? {} : { storageVersionHash: resource.storageVersionHash }),
  }
}

function aggregatedVersion(resources: readonly Resource[], version: string): JsonObject {
  return {
    version,
    resources: resources.map((resource) => ({
      resource: resource.plural,
      responseKind: { group: resource.group, version: resource.version, kind: resource.kind },
      scope: resource.namespaced ? 'Namespaced' : 'Cluster',
      singularResource: resource.singular,
      verbs: [...resource.verbs],
      ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
      ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
      ...(resource.subresources.length === 0
        ? {}
        : {
            subresources: resource.subresources.map((sub) => ({
              subresource: sub.name,
              responseKind: {
                group: sub.group ?? resource.group,
                version: sub.version ?? resource.version,
                kind: sub.kind,
              },
              verbs: [...sub.verbs],
            })),
          }),
    })),
    freshness: 'Current',
  }
}

function aggregated(resources: readonly Resource[], groups: Group[]): JsonObject {
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map((group) => ({
      metadata: group.name === '' ? {} : { name: group.name },
      versions: group.versions.map((version) =>
        aggregatedVersion(
          resources.filter((row) => row.group === group.name && row.version === version),
          version,
        ),
      ),
    })),
  }
}

/** The body for a discovery path, or undefined if the path is not one. */
export function discover(
  resources: readonly Resource[],
  path: string,
  isAggregated: boolean,
  address: string,
): unknown {
  if (path === '/version') return versionInfo
  if (path === '/')
    return { paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'] }
  if (path === '/api') {
    if (isAggregated) return aggregated(resources, [{ name: '', versions: ['v1'] }])
    const serverAddressByClientCIDRs = [{ clientCIDR: '0.0.0.0/0', serverAddress: address }]
    return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs }
  }
  const groups = groupsOf(resources)
  if (path === '/apis') {
    if (isAggregated) return aggregated(resources, groups)
    return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map(groupBody) }
  }
  const group = groups.find((one) => path === `/apis/${one.name}`)
  if (group !== undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...groupBody(group) }
  const rows = resources.filter((row) => path === (row.group === '' ? '/api/' : '/apis/') + apiVersionOf(row))
  const first = rows[0]
  if (first === undefined) return undefined
  return {
    kind: 'APIResourceList',
    ...(first.group === '' ? {} : { apiVersion: 'v1' }),
    groupVersion: apiVersionOf(first),
    resources: rows
      .flatMap((row) => [resourceBody(row), ...row.subresources.map((sub) => subresourceBody(row, sub))])
      .sort((a, b) => (String(a.name) < String(b.name) ? -1 : 1)),
  }
}
