import { existsSync, readFileSync } from 'node:fs'
import { delimiter, dirname, join, resolve } from 'node:path'
import { KubeConfig, loadYaml } from '@kubernetes/client-node'
import { RelayError } from '../../shared/errors.ts'
import { findProxy, type ProxySettings } from './proxy.ts'
import type { ClusterSources } from './sources.ts'

/** Which cluster to watch, and what made it so. */
export interface ClusterChoice {
  config: KubeConfig
  /** `KUBECONFIG`, `in-cluster credentials` or the path of the default file. */
  source: string
  /** The context's name as a cluster name: `[a-z0-9-]`, at most 63 characters. */
  name: string
}

/**
 * Finds the cluster as kubectl would: the given kubeconfig files, the credentials that a pod has, then `~/.kube/config`; and
 * the proxy on the way to it, where the kubeconfig names none.
 * @returns undefined when there is no configuration at all.
 * @throws RelayError `invalid` when a named file or context is not there or cannot be read.
 */
export function chooseCluster(from: ClusterSources): ClusterChoice | undefined {
  const config = new KubeConfig()
  const standard = from.home === undefined ? undefined : join(from.home, '.kube', 'config')
  let source: string
  if (from.kubeconfig !== undefined) {
    source = 'KUBECONFIG'
    loadFiles(config, from.kubeconfig.split(delimiter).filter(Boolean))
  } else if (from.inCluster && from.context === undefined) {
    source = 'in-cluster credentials'
    config.loadFromCluster()
  } else if (standard !== undefined && existsSync(standard)) {
    source = standard
    loadFiles(config, [standard])
  } else {
    if (from.context === undefined) return undefined
    throw new RelayError(
      'invalid',
      `--context: there is no kubeconfig that could hold "${from.context}"; set KUBECONFIG`,
    )
  }
  if (from.context !== undefined) config.setCurrentContext(from.context)
  checkContext(config, from.context)
  allowPlainHttp(config)
  useProxies(config, from.proxies ?? {})
  const context = source === 'in-cluster credentials' ? 'in-cluster' : config.getCurrentContext()
  return { config, source, name: toClusterName(context) }
}

function loadFiles(config: KubeConfig, files: string[]): void {
  for (const [index, file] of files.entries()) {
    const part = index === 0 ? config : new KubeConfig()
    try {
      part.loadFromFile(file)
      completeUsers(part, file)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new RelayError('invalid', `KUBECONFIG: cannot read ${file}: ${reason}`, { cause: error })
    }
    if (index > 0) config.mergeConfig(part, true)
  }
}

interface NamedUser {
  name?: string
  user?: { tokenFile?: string } | null
}

/** What client-node leaves out of a user: `tokenFile`, which wins over `token`, and what an exec plugin is told (client-go does both). */
function completeUsers(config: KubeConfig, file: string): void {
  const document = loadYaml<{ users?: NamedUser[] | null } | null>(readFileSync(file, 'utf8'))
  config.users = config.users.map((user) => {
    const tokenFile = document?.users?.find(({ name }) => name === user.name)?.user?.tokenFile
    if (tokenFile) {
      const { token: _, ...rest } = user
      const path = resolve(dirname(file), tokenFile)
      return { ...rest, authProvider: { name: 'tokenFile', config: { tokenFile: path } } }
    }
    return user.exec ? { ...user, exec: completePlugin(config, user.name, user.exec, dirname(file)) } : user
  })
}

interface Plugin {
  apiVersion?: string
  command?: string
  env?: { name: string; value: string }[] | null
  provideClusterInfo?: boolean
}

function completePlugin(config: KubeConfig, user: string, plugin: Plugin, folder: string): Plugin {
  const context = config.contexts.find((one) => one.user === user)
  const cluster = config.clusters.find(({ name }) => name === context?.cluster)
  const info = {
    kind: 'ExecCredential',
    apiVersion: plugin.apiVersion ?? 'client.authentication.k8s.io/v1',
    spec: {
      interactive: false,
      ...(plugin.provideClusterInfo && cluster !== undefined
        ? {
            cluster: {
              server: cluster.server,
              'certificate-authority-data': cluster.caData,
              'insecure-skip-tls-verify': cluster.skipTLSVerify,
              'tls-server-name': cluster.tlsServerName,
              'proxy-url': cluster.proxyUrl,
            },
          }
        : {}),
    },
  }
  // A command with a slash is relative to the kubeconfig, one without is looked up in PATH.
  const command = plugin.command?.includes('/') ? resolve(folder, plugin.command) : plugin.command
  return {
    ...plugin,
    ...(command === undefined ? {} : { command }),
    env: [...(plugin.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }],
  }
}

function checkContext(config: KubeConfig, asked: string | undefined): void {
  const contexts = config.getContexts().map((context) => context.name)
  const current = config.getCurrentContext()
  const choices = contexts.length === 0 ? 'it has none' : `it has ${contexts.join(', ')}`
  if (!contexts.includes(current)) {
    const problem = asked === undefined ? 'no current context is set' : `there is no context "${asked}"`
    throw new RelayError('invalid', `--context: ${problem} in the kubeconfig; ${choices}`)
  }
  if (config.getCurrentCluster() === null) {
    throw new RelayError('invalid', `--context: "${current}" names a cluster that the kubeconfig does not have`)
  }
}

/** kubectl takes an `http:` server (kubectl proxy, a sandbox) as it is; client-node wants TLS checks switched off for it first. */
function allowPlainHttp(config: KubeConfig): void {
  config.clusters = config.clusters.map((cluster) =>
    cluster.server.startsWith('http:') ? { ...cluster, skipTLSVerify: true } : cluster,
  )
}

/** The environment's, for what the kubeconfig names no proxy for itself. */
function useProxies(config: KubeConfig, proxies: ProxySettings): void {
  config.clusters = config.clusters.map((cluster) => {
    const proxyUrl = cluster.proxyUrl || findProxy(cluster.server, proxies)
    return proxyUrl === undefined ? cluster : { ...cluster, proxyUrl }
  })
}

function toClusterName(context: string): string {
  const name = context
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
  return name.slice(0, 63) || 'cluster'
}
