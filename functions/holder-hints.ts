import { isCovered } from '../shared/access.ts'
import type { LeaseData } from '../shared/lease.ts'
import type { StoredObject } from '../shared/state.ts'
import type { Caller } from './auth/authenticator.ts'
import type { Services } from './services.ts'

/** The Pod that an identity belongs to, where it is known. */
export interface HolderPod {
  namespace: string
  name: string
  node?: string
}

/** What is known of the one that holds a Lease. */
export interface HolderHints {
  holderPod?: HolderPod
  holderNode?: string
}

/**
 * Finds out which Pods and nodes hold Leases, one answer for each Lease, in order. Hints, since nothing keeps two things
 * from having one name; the caller is told only of what they may see.
 */
export type ResolveHolders = (caller: Caller, leases: readonly HeldLease[]) => Promise<HolderHints[]>

type HeldLease = Pick<LeaseData, 'namespace' | 'name' | 'holder' | 'owner'>
type Pod = StoredObject<{ node?: string }>

/** client-go's leader election: `<hostname>_<uuid>`, and the hostname of a Pod is its name, or its node's. */
const election = /^(.+)_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const nodeLeases = 'kube-node-lease'
/** In how many places one request looks for Pods that are in another namespace than the Lease. */
const maxLookups = 5_000
const maxNamespaces = 1_000

/**
 * Creates the resolver. A Pod in the Lease's own namespace comes first; in another one, it is told where the caller sees only
 * one of that name.
 */
export function createHolderResolver({
  state,
  resources,
  authenticator,
}: Pick<Services, 'state' | 'resources' | 'authenticator'>): ResolveHolders {
  const knows = (plural: string) => resources.some(({ group, resource }) => group === '' && resource === plural)

  async function find(plural: string, keys: readonly string[]): Promise<Pod[]> {
    return knows(plural) && keys.length > 0 ? state.find(plural, [...new Set(keys)]) : []
  }

  /** The Pods of these names wherever they are. */
  async function findAnywhere(names: readonly string[]): Promise<Pod[]> {
    if (names.length === 0 || !knows('pods')) return []
    const namespaces = await state.namespaces('pods', maxNamespaces)
    const looked = [...new Set(names)].slice(0, Math.floor(maxLookups / Math.max(1, namespaces.length)))
    return find(
      'pods',
      looked.flatMap((name) => namespaces.map((namespace) => `${namespace}/${name}`)),
    )
  }

  async function keepVisible(caller: Caller, plural: string, found: readonly Pod[]): Promise<readonly Pod[]> {
    if (!authenticator.isNeeded || found.length === 0) return found
    const namespaces = [...new Set(found.map(({ key }) => namespaceOf(key)))]
    const grants = await authenticator.grant(caller, { resource: [plural], namespace: namespaces.filter(Boolean) })
    return found.filter(({ key }) => isCovered(grants, plural, namespaceOf(key)))
  }

  return async (caller, leases) => {
    const holders = leases.map(readHolder)
    const near = await find('pods', holders.flatMap(keysNearby))
    const nearby = new Set(near.map(({ key }) => key))
    const strangers = holders.filter((holder) => holder.isElected && !keysNearby(holder).some((key) => nearby.has(key)))
    const [far, nodes] = await Promise.all([
      findAnywhere(strangers.map(({ host }) => host)),
      find(
        'nodes',
        holders.filter(({ host, isNode }) => host !== '' && !isNode).map(({ host }) => `/${host}`),
      ),
    ])
    const visible = await keepVisible(caller, 'pods', [...near, ...far])
    const pods = new Map(visible.map((pod) => [pod.key, pod]))
    const isFar = new Set(far.map(({ key }) => key))
    const elsewhere = Map.groupBy(
      [...pods.values()].filter(({ key }) => isFar.has(key)),
      ({ key }) => nameOf(key),
    )
    const known = new Set((await keepVisible(caller, 'nodes', nodes)).map(({ key }) => nameOf(key)))
    return holders.map((holder) => {
      const pod = strangers.includes(holder) ? only(elsewhere.get(holder.host)) : findNearby(holder, pods)
      if (pod !== undefined) return describePod(pod)
      return known.has(holder.host) || holder.isNode ? { holderNode: holder.host } : {}
    })
  }
}

/** What an identity says by itself. */
interface Holder {
  lease: HeldLease
  /** The name of a Pod or a node, perhaps; empty where nobody holds the Lease. */
  host: string
  isElected: boolean
  /** The Lease is a kubelet's own. */
  isNode: boolean
}

function readHolder(lease: HeldLease): Holder {
  const { namespace, name, owner } = lease
  const holder = lease.holder ?? ''
  const elected = election.exec(holder)?.[1]
  const isOwned = owner?.kind === 'Node' && owner.name === holder
  const isNode = holder !== '' && (isOwned || (namespace === nodeLeases && name === holder))
  return { lease, host: elected ?? holder, isElected: elected !== undefined, isNode }
}

/** The Pod of that name, and the one that a kubelet shows for a static Pod, `<name>-<node>`: kubeadm's control plane. */
function keysNearby({ lease: { namespace, name }, host, isNode }: Holder): string[] {
  return host === '' || isNode ? [] : [`${namespace}/${host}`, `${namespace}/${name}-${host}`]
}

function findNearby(holder: Holder, pods: ReadonlyMap<string, Pod>): Pod | undefined {
  const [own = '', mirrored = ''] = keysNearby(holder)
  const mirror = pods.get(mirrored)
  return pods.get(own) ?? (mirror?.data.node === holder.host ? mirror : undefined)
}

function only(pods: readonly Pod[] | undefined): Pod | undefined {
  return pods?.length === 1 ? pods[0] : undefined
}

function describePod({ key, data: { node } }: Pod): HolderHints {
  const pod = { namespace: namespaceOf(key), name: nameOf(key) }
  return node === undefined ? { holderPod: pod } : { holderPod: { ...pod, node }, holderNode: node }
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}

function nameOf(key: string): string {
  return key.slice(key.indexOf('/') + 1)
}
