import { SetupError } from '../../../infra/node/setup-error.ts'
import { findServer, serverFolder } from '../../../infra/redis/state.ts'
import type { Config, RoleConfig } from '../../../shared/config.ts'
import type { ClusterSources } from '../../kube/sources.ts'
import { findCluster } from './cluster.ts'
import { readClusterNote } from './note.ts'

/**
 * Completes the configuration of a role that was started by hand: Redis and the cluster's name as given, else those of
 * the `relay up` that runs on the same data folder.
 *
 * @throws SetupError that says what to set.
 */
export async function completeConfig(config: Config, sources: ClusterSources): Promise<RoleConfig> {
  if (config.redisUrl !== undefined) {
    return { ...config, redisUrl: config.redisUrl, cluster: config.cluster ?? (await nameCluster(sources)) }
  }
  const found = await findServer(serverFolder(config.data))
  if (found === undefined || !('pid' in found.probe)) {
    throw new SetupError(
      `REDIS_URL: not set, and no private Redis server runs on ${config.data}.\n` +
        'Set it, for example REDIS_URL=redis://127.0.0.1:6379, or start `relay up` on this folder first.',
    )
  }
  const note = await readClusterNote(config.data)
  const kubeconfig = config.kubeconfig ?? note?.kubeconfig
  const cluster = config.cluster ?? note?.cluster ?? (await nameCluster({ ...sources, kubeconfig }))
  return { ...config, kubeconfig, redisUrl: found.url, cluster }
}

async function nameCluster(sources: ClusterSources): Promise<string> {
  const cluster = await findCluster({ ...sources, sandbox: false })
  if (cluster.kind === 'real') return cluster.name
  throw new SetupError(
    'RELAY_CLUSTER: not set, and no Kubernetes configuration was found that could name the cluster.\n' +
      'Set it to one name for all roles, such as RELAY_CLUSTER=prod, or set KUBECONFIG.',
  )
}
