import type { ObjectData } from '../../shared/event.ts'
import { nameKind, type WatchedResource } from '../../shared/resource.ts'
import { createBindingNormalizer } from './binding.ts'
import { attachObjects } from './full-object.ts'
import { createLeaseNormalizer, type Renewals } from './lease.ts'
import type { Normalizer } from './normalizer.ts'
import { createObjectNormalizer } from './object.ts'
import { podNormalizer } from './pod.ts'

/**
 * The normalizer for a resource: the relay knows Pods, Leases and bindings of roles, and tells the plain facts of anything
 * else.
 * @param renewals where the renewals of Leases go.
 */
export function chooseNormalizer(watched: WatchedResource, renewals?: Renewals): Normalizer {
  const normalizer = chooseByKind(watched, renewals)
  return watched.object === 'full' ? attachObjects(normalizer, watched.reveal ?? []) : normalizer
}

function chooseByKind(watched: WatchedResource, renewals?: Renewals): Normalizer {
  const kind = nameKind(watched)
  switch (`${watched.group}/${watched.resource}`) {
    case '/pods':
      return generalize(podNormalizer)
    case 'coordination.k8s.io/leases':
      return generalize(createLeaseNormalizer(renewals))
    case 'rbac.authorization.k8s.io/rolebindings':
    case 'rbac.authorization.k8s.io/clusterrolebindings':
      return generalize(createBindingNormalizer(kind))
    default:
      return generalize(createObjectNormalizer(kind))
  }
}

/** A feed hands a normalizer only what the same normalizer read before. */
function generalize<Data extends ObjectData>(normalizer: Normalizer<Data>): Normalizer {
  return normalizer as unknown as Normalizer
}
