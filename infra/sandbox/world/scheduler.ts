import { timestamp } from '../clock.ts'
import { type KubeObject, objectAt, objectsIn, text } from '../kube-object.ts'
import { setCondition } from '../pod-actions.ts'
import type { Cluster } from './cluster.ts'

/** Binds pods that name the default scheduler to nodes that fit, and says so of those that fit nowhere. */
export interface Scheduler {
  /** Picks a node now, or undefined if none fits. */
  place(pod: KubeObject): string | undefined
  stop(): void
}

export function createScheduler(cluster: Cluster, speed: number): Scheduler {
  const { store, writer, random } = cluster
  let turn = 0

  function place(pod: KubeObject): string | undefined {
    const wanted = Object.entries(objectAt(pod, 'spec', 'nodeSelector'))
    const fitting = store
      .list('nodes')
      .filter((node) => objectAt(node, 'spec').unschedulable !== true)
      .filter((node) => wanted.every(([label, value]) => node.metadata.labels?.[label] === value))
    turn++
    return fitting[turn % Math.max(1, fitting.length)]?.metadata.name
  }

  function complain(pod: KubeObject): void {
    const { namespace = '', name = '' } = pod.metadata
    const count = store.list('nodes').length
    const message =
      `0/${count} nodes are available: ${count} node(s) didn't match Pod's node affinity/selector. ` +
      `no new claims to deallocate, preemption: 0/${count} nodes are available: ${count} Preemption is not helpful for scheduling.`
    const change = (object: KubeObject): KubeObject => {
      const status = objectAt(object, 'status')
      const condition = {
        type: 'PodScheduled',
        observedGeneration: 1,
        status: 'False',
        reason: 'Unschedulable',
        message,
      }
      const conditions = setCondition(objectsIn(status.conditions), condition, timestamp(cluster.clock.now()))
      return { ...object, status: { ...status, conditions } }
    }
    writer.update(store.resource('pods'), namespace, name, change, { manager: 'kube-scheduler', subresource: 'status' })
  }

  function schedule(pod: KubeObject): void {
    const current = cluster.current(pod)
    if (current === undefined || !isMine(current)) return
    const node = place(current)
    const { namespace = '', name = '' } = current.metadata
    if (node === undefined) complain(current)
    else cluster.pods.bind(namespace, name, { target: { kind: 'Node', name: node } })
  }

  function isMine(pod: KubeObject): boolean {
    const spec = objectAt(pod, 'spec')
    return (
      text(spec.nodeName) === '' &&
      spec.schedulerName === 'default-scheduler' &&
      objectsIn(spec.schedulingGates).length === 0 &&
      pod.metadata.deletionTimestamp === undefined &&
      !['Succeeded', 'Failed'].includes(text(objectAt(pod, 'status').phase))
    )
  }

  const hasFailed = (pod: KubeObject) =>
    objectsIn(objectAt(pod, 'status').conditions).some((condition) => condition.reason === 'Unschedulable')

  const unsubscribePods = store.subscribe('pods', (event) => {
    if (event.type === 'DELETED' || !isMine(event.object)) return
    // A pod that failed is tried again when a node changes, not when its own status does.
    if (event.type === 'ADDED' || !hasFailed(event.object)) {
      cluster.later((20 + random.next() * 150) / speed, () => schedule(event.object))
    }
  })
  const unsubscribeNodes = store.subscribe('nodes', () => {
    cluster.later(100, () => {
      for (const pod of store.list('pods')) if (isMine(pod) && hasFailed(pod) && place(pod) !== undefined) schedule(pod)
    })
  })
  return {
    place,
    stop() {
      unsubscribePods()
      unsubscribeNodes()
    },
  }
}
