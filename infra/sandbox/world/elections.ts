import { microTimestamp } from '../clock.ts'
import { type JsonObject, type KubeObject, objectAt, text } from '../kube-object.ts'
import type { Cluster } from './cluster.ts'

/** One lease that replicas compete for. */
interface Election {
  namespace: string
  name: string
  /** The candidates; an identity is `<hostname>_<uuid>` and lives as long as its process. */
  hosts: readonly string[] | PodsOf
}

/** The pods of an application: the hostname of each is its name. */
interface PodsOf {
  app: string
  namespace: string
}

const elections: readonly Election[] = [
  { namespace: 'kube-system', name: 'kube-controller-manager', hosts: ['control-1', 'control-2', 'control-3'] },
  { namespace: 'kube-system', name: 'kube-scheduler', hosts: ['control-1', 'control-2', 'control-3'] },
  { namespace: 'payments', name: 'ledger-leader', hosts: { app: 'ledger', namespace: 'payments' } },
  // As many controllers do it: in another namespace than their own.
  { namespace: 'kube-system', name: 'ingress-leader', hosts: { app: 'ingress', namespace: 'platform' } },
]

// client-go `leaderelection`: how long a lease lasts, and how often candidates try.
const duration = 15
const retryPeriod = 2_000

function runElection(cluster: Cluster, election: Election): void {
  const { store, writer, clock, random } = cluster
  const leases = store.resource('leases')
  const { namespace, name } = election
  const options = { manager: name }
  const now = () => microTimestamp(clock.now(), random.below(1000))
  let leader = newIdentity()
  let silentUntil = 0

  function newIdentity(): string {
    const hosts = listHosts(cluster, election)
    // Nobody is there to hold it.
    return hosts.length === 0 ? '' : `${random.pick(hosts)}_${random.uuid()}`
  }

  function isGone(): boolean {
    return !listHosts(cluster, election).includes(leader.slice(0, leader.indexOf('_')))
  }

  function acquire(): void {
    if (leader === '') leader = newIdentity()
    if (leader === '') return
    const at = now()
    const spec = { holderIdentity: leader, leaseDurationSeconds: duration, acquireTime: at, renewTime: at }
    const old = store.get(leases, namespace, name)
    if (old === undefined) {
      writer.create(leases, namespace, { metadata: { name }, spec: { ...spec, leaseTransitions: 0 } }, options)
      return
    }
    const before = objectAt(old, 'spec')
    const transitions = Number(before.leaseTransitions ?? 0) + (text(before.holderIdentity) === leader ? 0 : 1)
    set(() => ({ ...spec, leaseTransitions: transitions }))
  }

  function set(change: (spec: JsonObject) => JsonObject): void {
    const update = (lease: KubeObject): KubeObject => ({ ...lease, spec: change(objectAt(lease, 'spec')) })
    writer.update(leases, namespace, name, update, options)
  }

  function release(): void {
    const at = now()
    set((spec) => ({ ...spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: at, renewTime: at }))
    leader = newIdentity()
    // The next candidate finds out at its own next try.
    silentUntil = clock.now() + 1000 + random.below(retryPeriod)
  }

  function step(): void {
    if (clock.now() < silentUntil) return
    const lease = store.get(leases, namespace, name)
    const holder = text(objectAt(lease, 'spec').holderIdentity)
    if (lease === undefined || holder !== leader) {
      acquire()
      return
    }
    const chance = random.below(100)
    if (chance < 2 || isGone()) {
      release()
      return
    }
    if (chance < 4) {
      // A crash says nothing: the others wait until the lease has run out.
      leader = newIdentity()
      silentUntil = clock.now() + duration * 1000 + random.below(retryPeriod)
      return
    }
    set((spec) => ({ ...spec, renewTime: now() }))
  }

  acquire()
  if (cluster.rate > 0) cluster.every(retryPeriod, step)
}

function listHosts({ store }: Cluster, { hosts }: Election): readonly string[] {
  if (!('app' in hosts)) return hosts
  return store
    .list(store.resource('pods'), hosts.namespace)
    .filter(({ metadata }) => metadata.labels?.app === hosts.app && metadata.deletionTimestamp === undefined)
    .filter((pod) => text(objectAt(pod, 'status').phase) === 'Running')
    .map(({ metadata }) => metadata.name ?? '')
}

function runIdentity(cluster: Cluster): void {
  const { store, writer, clock, random } = cluster
  const leases = store.resource('leases')
  const name = `apiserver-${random.suffix(26)}`
  const options = { manager: 'kube-apiserver' }
  const now = () => microTimestamp(clock.now(), random.below(1000))
  const metadata = {
    name,
    labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver', 'kubernetes.io/hostname': 'control-1' },
    annotations: { 'kubernetes.io/peer-advertise-address': '127.0.0.1:6443' },
  }
  const spec = { holderIdentity: `${name}_${random.uuid()}`, leaseDurationSeconds: 3600, renewTime: now() }
  writer.create(leases, 'kube-system', { metadata, spec }, options)
  if (cluster.rate === 0) return
  cluster.every(10_000, () => {
    const renew = (lease: KubeObject): KubeObject => ({
      ...lease,
      spec: { ...objectAt(lease, 'spec'), renewTime: now() },
    })
    writer.update(leases, 'kube-system', name, renew, options)
  })
}

/** Starts the API server's identity lease and a few elections with renewals, polite releases and crashes. */
export function runElections(cluster: Cluster): void {
  runIdentity(cluster)
  for (const election of elections) runElection(cluster, election)
}
