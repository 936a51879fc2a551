import { invalid } from '../../../shared/errors.ts'
import type { WatchedResource } from '../../../shared/resource.ts'
import type { KubeClient } from '../../kube/client.ts'
import { DiscoveryRefused, discover } from '../../kube/discovery.ts'
import { findResource } from '../../kube/find-resource.ts'
import { describeFailure, UnreachableError } from './request.ts'

/**
 * Asks the API server what resources are that were named by a plural alone; the others are taken as they are.
 * @throws RelayError `invalid` for a name that the server does not know, or does not tell.
 * @throws UnreachableError
 */
export async function settleNames(
  client: KubeClient,
  resources: readonly WatchedResource[],
): Promise<readonly WatchedResource[]> {
  if (!needsServer(resources)) return resources
  const served = await discover(client, new AbortController().signal).catch((error: unknown) => {
    if (!(error instanceof DiscoveryRefused)) {
      throw new UnreachableError(`${client.server} cannot be asked: ${describeFailure(error)}`, { cause: error })
    }
    const names = resources.filter(isUnsettled).map(({ resource }) => resource)
    throw invalid('RELAY_RESOURCES', `${names.join(', ')}: write group/version/name, since discovery is not allowed`)
  })
  return resources.map((resource) => {
    if (!isUnsettled(resource)) return resource
    const finding = findResource(served, resource)
    if ('problem' in finding) throw invalid('RELAY_RESOURCES', finding.problem)
    return finding.found
  })
}

/** Whether some of these can be told only by a server. */
export function needsServer(resources: readonly WatchedResource[]): boolean {
  return resources.some(isUnsettled)
}

function isUnsettled({ version }: WatchedResource): boolean {
  return version === ''
}
