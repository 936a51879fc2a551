import { attempt, createCluster, type WorldOptions } from './cluster.ts'
import { createDeployments } from './deployments.ts'
import { runElections } from './elections.ts'
import { createKubelet } from './kubelet.ts'
import { makeMischief } from './mischief.ts'
import { addNodes } from './nodes.ts'
import { appShapes } from './pod-template.ts'
import { createScheduler } from './scheduler.ts'

export type { WorldOptions } from './cluster.ts'

const nodeCount = 5

/**
 * Populates the cluster and lets it live: nodes, leases, and pods that start, fail, roll and go. Users are respected:
 * what they create is scheduled and run, what they delete is ended and, where a deployment owns it, replaced.
 * Returns how to end it; nothing happens afterwards.
 */
export function startWorld(options: WorldOptions): () => void {
  const cluster = createCluster(options)
  const { store, writer, rate } = cluster
  // Busy worlds are also quick ones: at a high rate a pod has no minute to spare for starting.
  const speed = Math.max(1, rate / 20)
  for (const namespace of new Set(appShapes.map((app) => app.namespace))) {
    writer.create(store.resource('namespaces'), '', { metadata: { name: namespace } }, { manager: 'kubectl-create' })
  }
  addNodes(cluster, nodeCount)
  const scheduler = createScheduler(cluster, speed)
  const kubelet = createKubelet(cluster, speed)
  const deployments = createDeployments(cluster, speed)
  const replicas = Math.min(100, 3 + Math.ceil(rate / 10))
  for (const app of appShapes) {
    for (const pod of deployments.add(app, replicas)) {
      attempt(() => {
        const node = scheduler.place(pod)
        if (node !== undefined) kubelet.settle(pod, node)
      })
    }
  }
  // Their candidates are pods.
  runElections(cluster)
  if (rate > 0) makeMischief(cluster, kubelet, deployments)
  return () => {
    cluster.stop()
    scheduler.stop()
    kubelet.stop()
    deployments.stop()
  }
}
