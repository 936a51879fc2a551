/** How a list is merged and owned: by key fields, as a set of values, or (absent) as one atomic value. */
export interface ListType {
  /** The key of a strategic merge patch; absent where a patch replaces the list. */
  mergeKey?: string
  /** The key fields by which managedFields tells the items apart. */
  ownKeys?: readonly string[]
  /** A list of values that is a set, such as finalizers. */
  isSet?: boolean
}

const byName: ListType = { mergeKey: 'name', ownKeys: ['name'] }
const byType: ListType = { mergeKey: 'type', ownKeys: ['type'] }
const byIp: ListType = { mergeKey: 'ip', ownKeys: ['ip'] }
const ports: ListType = { mergeKey: 'containerPort', ownKeys: ['containerPort', 'protocol'] }
const mounts: ListType = { mergeKey: 'mountPath', ownKeys: ['mountPath'] }
const devices: ListType = { mergeKey: 'devicePath', ownKeys: ['devicePath'] }

function containers(path: string): Record<string, ListType> {
  return {
    [path]: byName,
    [`${path}.ports`]: ports,
    [`${path}.env`]: byName,
    [`${path}.volumeMounts`]: mounts,
    [`${path}.volumeDevices`]: devices,
  }
}

const everyKind: Record<string, ListType> = {
  'metadata.ownerReferences': { mergeKey: 'uid', ownKeys: ['uid'] },
  'metadata.finalizers': { isSet: true },
}

// From the patchStrategy, patchMergeKey and listType tags of `k8s.io/api`. Container statuses are atomic there: a
// strategic merge patch replaces them.
const byKind: Record<string, Record<string, ListType>> = {
  Pod: {
    ...containers('spec.containers'),
    ...containers('spec.initContainers'),
    ...containers('spec.ephemeralContainers'),
    'spec.volumes': byName,
    'spec.imagePullSecrets': byName,
    'spec.hostAliases': byIp,
    'spec.schedulingGates': byName,
    'spec.resourceClaims': byName,
    'spec.topologySpreadConstraints': { mergeKey: 'topologyKey', ownKeys: ['topologyKey', 'whenUnsatisfiable'] },
    'status.conditions': byType,
    'status.podIPs': byIp,
    'status.hostIPs': byIp,
    'status.resourceClaimStatuses': byName,
  },
  Node: {
    'spec.podCIDRs': { isSet: true },
    'status.conditions': byType,
    'status.addresses': byType,
  },
  Namespace: { 'status.conditions': byType },
  ServiceAccount: { secrets: byName, imagePullSecrets: byName },
}

/** The type of the list at a path of keys (array steps left out); undefined for atomic lists. */
export function listTypeOf(kind: string, path: string): ListType | undefined {
  return byKind[kind]?.[path] ?? everyKind[path]
}

/** Maps that are owned as a whole (`structType=atomic`), by their last key. */
const atomicMaps = new Set([
  'nodeSelector',
  'roleRef',
  'fieldRef',
  'resourceFieldRef',
  'secretKeyRef',
  'configMapKeyRef',
  'labelSelector',
  'involvedObject',
])

/** Whether managedFields stop at this map. */
export function isAtomicMap(path: string): boolean {
  return atomicMaps.has(path.slice(path.lastIndexOf('.') + 1))
}
