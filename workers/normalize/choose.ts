import { nameKind, type WatchedResource } from '../../shared/resource.ts'
import { createLeaseNormalizer } from './lease.ts'
import type { Normalizer } from './normalizer.ts'
import { createObjectNormalizer } from './object.ts'
import { podNormalizer } from './pod.ts'

/** The normalizer for a resource: the relay knows Pods and Leases, and tells the plain facts of anything else. */
export function chooseNormalizer(watched: WatchedResource): Normalizer {
  const { group, resource } = watched
  if (group === '' && resource === 'pods') return podNormalizer as unknown as Normalizer
  if (group === 'coordination.k8s.io' && resource === 'leases') return createLeaseNormalizer() as unknown as Normalizer
  return createObjectNormalizer(nameKind(watched))
}
