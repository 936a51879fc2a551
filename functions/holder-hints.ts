import { isCovered } from '../shared/access.ts'
import type { LeaseData } from '../shared/lease.ts'
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

/** client-go's leader election: `<hostname>_<uuid>`, and the hostname of a Pod is its name. */
const election = /^(.+)_[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/**
 * Finds out which Pods and nodes hold Leases, as far as an identity tells and the object is known: a Pod of that name in the
 * Lease's own namespace, or a node of that name. Hints, since nothing keeps two things from having one name.
 * @param caller who is told only of what they may see.
 * @returns one for each Lease, in order.
 */
export async function resolveHolders(
  { state, resources, authenticator }: Pick<Services, 'state' | 'resources' | 'authenticator'>,
  caller: Caller,
  leases: readonly Pick<LeaseData, 'namespace' | 'holder' | 'owner'>[],
): Promise<HolderHints[]> {
  const names = leases.map(({ holder }) => (holder === null ? undefined : (election.exec(holder)?.[1] ?? holder)))
  const knows = (plural: string) => resources.some(({ group, resource }) => group === '' && resource === plural)
  const find = async <Data>(plural: string, keyOf: (name: string, index: number) => string) => {
    const keys = new Set(names.flatMap((name, index) => (name === undefined ? [] : [keyOf(name, index)])))
    if (keys.size === 0 || !knows(plural)) return new Map<string, Data>()
    const namespaces = new Set([...keys].map(namespaceOf))
    const grants = authenticator.isNeeded
      ? await authenticator.grant(caller, { resource: [plural], namespace: [...namespaces].filter(Boolean) })
      : undefined
    const visible = [...keys].filter((key) => grants === undefined || isCovered(grants, plural, namespaceOf(key)))
    return new Map((await state.find<Data>(plural, visible)).map(({ key, data }) => [key, data]))
  }
  const podKey = (name: string, index: number) => `${leases[index]?.namespace}/${name}`
  const [pods, nodes] = await Promise.all([
    find<{ node?: string }>('pods', podKey),
    find('nodes', (name) => `/${name}`),
  ])
  return leases.map(({ namespace, holder, owner }, index) => {
    const name = names[index]
    if (name === undefined) return {}
    const pod = pods.get(podKey(name, index))
    if (pod !== undefined) {
      const place = pod.node === undefined ? {} : { node: pod.node }
      return { holderPod: { namespace, name, ...place }, ...(pod.node === undefined ? {} : { holderNode: pod.node }) }
    }
    // A kubelet's Lease is owned by its node.
    const isNode = nodes.has(`/${name}`) || (owner?.kind === 'Node' && owner.name === holder)
    return isNode ? { holderNode: name } : {}
  })
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}
