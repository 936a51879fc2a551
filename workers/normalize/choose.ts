import type { WatchedResource } from '../../shared/resource.ts'
import { leaseNormalizer } from './lease.ts'
import type { Normalizer } from './normalizer.ts'
import { createObjectNormalizer } from './object.ts'
import { podNormalizer } from './pod.ts'

/** The normalizer for a resource: the relay knows Pods and Leases, and tells the plain facts of anything else. */
export function chooseNormalizer({ group, resource }: WatchedResource): Normalizer {
  if (group === '' && resource === 'pods') return podNormalizer as unknown as Normalizer
  if (group === 'coordination.k8s.io' && resource === 'leases') return leaseNormalizer as unknown as Normalizer
  return createObjectNormalizer(singular(resource))
}

/** `networkpolicies` to `networkpolicy`, `ingresses` to `ingress`, `pods` to `pod`. */
function singular(resource: string): string {
  if (resource.endsWith('ies')) return `${resource.slice(0, -3)}y`
  if (/(?:ss|x|ch|sh)es$/.test(resource)) return resource.slice(0, -2)
  return resource.endsWith('s') && !resource.endsWith('ss') ? resource.slice(0, -1) : resource
}
