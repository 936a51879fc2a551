import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterSources } from '../../kube/sources.ts'

/** Which cluster the relay works on, and why, for people. */
export type Cluster =
  | { readonly kind: 'sandbox'; readonly name: 'sandbox'; readonly why: string }
  | { readonly kind: 'real'; readonly name: string; readonly server: string; readonly why: string }

/**
 * Chooses the cluster: the sandbox if asked for, else what kubectl would use, else the sandbox.
 *
 * @throws RelayError when the configuration names a cluster that it does not describe.
 */
export async function findCluster({ sandbox, ...sources }: ClusterSources & { sandbox: boolean }): Promise<Cluster> {
  if (sandbox) return { kind: 'sandbox', name: 'sandbox', why: 'as asked for by --sandbox' }
  const none: Cluster = { kind: 'sandbox', name: 'sandbox', why: 'no Kubernetes configuration was found' }
  // The client for Kubernetes is a large library, which a first look at the sandbox need not wait for.
  if (hasNothing(sources)) return none
  const { chooseCluster } = await import('../../kube/config.ts')
  const choice = chooseCluster(sources)
  if (choice === undefined) return none
  const { config, source, name } = choice
  const context = source === 'in-cluster credentials' ? '' : `, context ${config.getCurrentContext()}`
  return { kind: 'real', name, server: config.getCurrentCluster()?.server ?? '', why: `from ${source}${context}` }
}

function hasNothing({ kubeconfig, context, inCluster, home }: ClusterSources): boolean {
  const hasFile = home !== undefined && existsSync(join(home, '.kube', 'config'))
  return kubeconfig === undefined && context === undefined && !inCluster && !hasFile
}

/** A kubeconfig for the sandbox, for the watcher and for kubectl. */
export function renderSandboxKubeconfig(server: string): string {
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'sandbox',
      // client-node refuses plain http without this.
      clusters: [{ name: 'sandbox', cluster: { server, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'sandbox', user: {} }],
      contexts: [{ name: 'sandbox', context: { cluster: 'sandbox', user: 'sandbox', namespace: 'default' } }],
    },
    null,
    2,
  )}\n`
}
