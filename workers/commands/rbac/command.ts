import { dumpYaml } from '@kubernetes/client-node'
import { SetupError } from '../../../infra/node/setup-error.ts'
import { invalid } from '../../../shared/errors.ts'
import { nameResource, type WatchedResource } from '../../../shared/resource.ts'
import { createKubeClient, type KubeWriter } from '../../kube/client.ts'
import { chooseCluster } from '../../kube/config.ts'
import { applyManifest } from './apply.ts'
import { checkNeeds } from './check.ts'
import { buildManifests, listNeeds, type Manifest, type Need, type Subject } from './manifest.ts'
import { UnreachableError } from './request.ts'
import { needsServer, settleNames } from './settle.ts'

export interface RbacOptions {
  action: 'print' | 'apply' | 'check'
  resources: readonly WatchedResource[]
  /** The watcher's, by which also the roles are named. */
  serviceAccount: string
  namespace: string
  dryRun: boolean
  /** Whether to include what tells one cluster from another. */
  withIdentity: boolean
  /** Whether to include what RELAY_AUTH=kubernetes takes. */
  withReviews: boolean
  cluster: Parameters<typeof chooseCluster>[0]
  print(text: string): void
  warn(text: string): void
}

/** RFC 1123, as Kubernetes takes names of namespaces and of service accounts. */
const label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/
const subdomain = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/

/**
 * Shows, applies or checks the rights that watching takes. Printing asks no cluster, unless only that can tell what a name is.
 * @returns the exit code: 0 done, 1 refused or missing, 2 the cluster cannot be asked.
 * @throws SetupError when no cluster is configured.
 * @throws RelayError `invalid` for names that are none.
 */
export async function runRbac(options: RbacOptions): Promise<number> {
  const { action, resources, serviceAccount, namespace } = options
  if (!subdomain.test(serviceAccount)) throw invalid('--service-account', `"${serviceAccount}" is no name`)
  if (!label.test(namespace)) throw invalid('--namespace', `"${namespace}" is no namespace`)
  if (action === 'print' && !needsServer(resources)) return print(resources, options)
  const client = connect(options.cluster)
  try {
    const settled = await settleNames(client, resources)
    if (action === 'print') return print(settled, options)
    if (action === 'apply') return await apply(client, build(settled, options), options)
    return await check(client, listNeeds(settled, options), options)
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error
    options.warn(`relay: ${error.message}\n`)
    return 2
  } finally {
    await client.close()
  }
}

function build(resources: readonly WatchedResource[], options: RbacOptions): Manifest[] {
  const { serviceAccount, namespace } = options
  const subject: Subject = { kind: 'ServiceAccount', name: serviceAccount, namespace }
  return buildManifests(listNeeds(resources, options), serviceAccount, subject)
}

function print(resources: readonly WatchedResource[], options: RbacOptions): number {
  options.print(toYaml(build(resources, options)))
  return 0
}

async function apply(client: KubeWriter, manifests: readonly Manifest[], options: RbacOptions): Promise<number> {
  let isDone = true
  for (const manifest of manifests) {
    const { ok, line } = await applyManifest(client, manifest, options.dryRun)
    if (ok) options.print(`${line}\n`)
    else options.warn(`${line}\n`)
    isDone &&= ok
  }
  return isDone ? 0 : 1
}

async function check(client: KubeWriter, needs: readonly Need[], options: RbacOptions): Promise<number> {
  const { missing, subject } = await checkNeeds(client, needs)
  for (const need of needs) options.print(`${missing.includes(need) ? 'missing' : 'allowed'}  ${describeNeed(need)}\n`)
  if (missing.length === 0) return 0
  const { serviceAccount, namespace } = options
  const receiver: Subject = subject ?? { kind: 'ServiceAccount', name: serviceAccount, namespace }
  const name = receiver.kind === 'ServiceAccount' ? receiver.name : serviceAccount
  options.print(`\n# This would allow it; kubectl apply -f takes it from a file.\n`)
  // Whole roles: a role of this name that allows a part already would lose it to one that allows the rest.
  const affected = needs.filter(({ namespace: place }) => missing.some((need) => need.namespace === place))
  options.print(toYaml(buildManifests(affected, name, receiver)))
  return 1
}

function describeNeed({ verb, group, resource, namespace, name }: Need): string {
  const what = `${nameResource({ group, resource })}${name === undefined ? '' : ` ${name}`}`
  return `${verb} ${what} ${namespace === undefined ? 'everywhere' : `in namespace ${namespace}`}`
}

function connect(from: RbacOptions['cluster']): KubeWriter {
  const choice = chooseCluster(from)
  if (choice === undefined) {
    throw new SetupError('KUBECONFIG: no cluster is configured; set it to the path of a kubeconfig')
  }
  return createKubeClient(choice.config, 'kube-watch-relay')
}

function toYaml(manifests: readonly Manifest[]): string {
  return manifests.map((manifest) => dumpYaml(manifest, { lineWidth: -1, noRefs: true })).join('---\n')
}
