import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { type ProxySettings, readProxySettings } from './proxy.ts'

/** Where a process may find a cluster and its credentials, and by which way it gets there. */
export interface ClusterSources {
  /** One path or several, joined as in `KUBECONFIG`. */
  kubeconfig?: string | undefined
  context?: string | undefined
  home?: string | undefined
  /** Whether the process runs in a pod with a service account. */
  inCluster: boolean
  proxies?: ProxySettings
}

const serviceAccountToken = '/var/run/secrets/kubernetes.io/serviceaccount/token'

/** What this process has, beside its configuration. */
export function findSources(
  { kubeconfig, context }: Pick<ClusterSources, 'kubeconfig' | 'context'>,
  env: Readonly<Record<string, string | undefined>>,
): ClusterSources {
  const inCluster = env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(serviceAccountToken)
  return { kubeconfig, context, home: homedir(), inCluster, proxies: readProxySettings(env) }
}
