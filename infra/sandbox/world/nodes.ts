import { microTimestamp, timestamp } from '../clock.ts'
import type { JsonObject, KubeObject } from '../kube-object.ts'
import type { Cluster } from './cluster.ts'

function nodeConditions(now: string): JsonObject[] {
  const calm = (type: string, reason: string, message: string, status = 'False'): JsonObject => ({
    type,
    status,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
    reason,
    message,
  })
  return [
    calm('MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    calm('DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    calm('PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    calm('Ready', 'KubeletReady', 'kubelet is posting ready status', 'True'),
  ]
}

/** Registers nodes and, unless the world is still, renews their leases every ten seconds as kubelets do. */
export function addNodes(cluster: Cluster, count: number): void {
  const { store, writer, clock, random } = cluster
  const nodes = store.resource('nodes')
  const leases = store.resource('leases')
  for (let index = 1; index <= count; index++) {
    const name = `node-${index}`
    const created = writer.create(
      nodes,
      '',
      {
        metadata: {
          name,
          labels: {
            'kubernetes.io/arch': 'amd64',
            'kubernetes.io/hostname': name,
            'kubernetes.io/os': 'linux',
            'topology.kubernetes.io/zone': `zone-${'abc'.charAt(index % 3)}`,
          },
        },
        spec: { podCIDR: `10.244.${index}.0/24`, podCIDRs: [`10.244.${index}.0/24`] },
      },
      { manager: 'kubelet' },
    )
    const capacity = { cpu: '8', memory: '32823836Ki', pods: '110' }
    const status: JsonObject = {
      capacity,
      allocatable: capacity,
      conditions: nodeConditions(timestamp(clock.now())),
      addresses: [
        { type: 'InternalIP', address: `192.168.0.${10 + index}` },
        { type: 'Hostname', address: name },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: 10250 } },
      nodeInfo: {
        machineID: random.uuid().replaceAll('-', ''),
        systemUUID: random.uuid(),
        bootID: random.uuid(),
        kernelVersion: '6.8.0-60-generic',
        osImage: 'Ubuntu 24.04.2 LTS',
        containerRuntimeVersion: 'containerd://2.1.1',
        kubeletVersion: 'v1.36.2',
        kubeProxyVersion: '',
        operatingSystem: 'linux',
        architecture: 'amd64',
      },
    }
    writer.update(nodes, '', name, (node) => ({ ...node, status }), { manager: 'kubelet', subresource: 'status' })
    addNodeLease(created)
  }

  function addNodeLease(node: KubeObject): void {
    const name = node.metadata.name ?? ''
    const uid = node.metadata.uid ?? ''
    const renewTime = () => microTimestamp(clock.now(), random.below(1000))
    const manager = { manager: 'kubelet' }
    writer.create(
      leases,
      'kube-node-lease',
      {
        metadata: { name, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
        spec: { holderIdentity: name, leaseDurationSeconds: 40, renewTime: renewTime() },
      },
      manager,
    )
    if (cluster.rate === 0) return
    cluster.every(10_000, () => {
      // A node that was taken out of the cluster has no kubelet to renew for it.
      if (store.get(nodes, '', name) === undefined) return
      const renew = (lease: KubeObject): KubeObject => ({
        ...lease,
        spec: { ...(lease.spec as JsonObject), renewTime: renewTime() },
      })
      writer.update(leases, 'kube-node-lease', name, renew, manager)
    })
  }
}
