import { type KubeObject, type OwnerReference, objectAt, objectsIn, text } from '../kube-object.ts'
import { attempt, type Cluster } from './cluster.ts'
import { type AppShape, nameRevision, stampPod } from './pod-template.ts'

interface Deployment {
  app: AppShape
  replicas: number
  version: number
  hash: string
  owner: OwnerReference
  isPending: boolean
}

/** Keeps as many pods of each application as wanted, whoever deletes them, and rolls them to new versions. */
export interface Deployments {
  /** Creates an application and its first pods, and returns those. */
  add(app: AppShape, replicas: number): KubeObject[]
  scaleSome(): void
  rollSome(): void
  /** Pods that run and are ready, of all applications. */
  running(): KubeObject[]
  stop(): void
}

export function createDeployments(cluster: Cluster, speed: number): Deployments {
  const { store, writer, remove, random } = cluster
  const pods = store.resource('pods')
  const deployments: Deployment[] = []

  const isOver = (pod: KubeObject) => ['Succeeded', 'Failed'].includes(text(objectAt(pod, 'status').phase))
  const isReady = (pod: KubeObject) =>
    objectsIn(objectAt(pod, 'status').conditions).some((one) => one.type === 'Ready' && one.status === 'True')
  const isAlive = (pod: KubeObject) => pod.metadata.deletionTimestamp === undefined && !isOver(pod)

  function podsOf(deployment: Deployment): KubeObject[] {
    return store
      .list(pods, deployment.app.namespace)
      .filter(
        (pod) =>
          pod.metadata.labels?.app === deployment.app.name && pod.metadata.ownerReferences?.[0]?.kind === 'ReplicaSet',
      )
  }

  function create(deployment: Deployment): KubeObject {
    const { app, version, hash, owner } = deployment
    return writer.create(pods, app.namespace, stampPod(app, version, hash, owner), {
      manager: 'kube-controller-manager',
    })
  }

  function discard(pod: KubeObject): void {
    remove(pods, pod.metadata.namespace ?? '', pod.metadata.name ?? '')
  }

  function reconcile(deployment: Deployment): void {
    deployment.isPending = false
    const all = podsOf(deployment)
    const alive = all.filter(isAlive)
    const fresh = alive.filter((pod) => pod.metadata.labels?.['pod-template-hash'] === deployment.hash)
    const stale = alive.filter((pod) => pod.metadata.labels?.['pod-template-hash'] !== deployment.hash)
    // Failed pods of a deployment are left for the garbage collector; a handful is plenty to look at.
    for (const dead of all.filter((pod) => isOver(pod) && pod.metadata.deletionTimestamp === undefined).slice(0, -2))
      discard(dead)
    const surge = stale.length === 0 ? 0 : 1
    const missing = Math.min(deployment.replicas - fresh.length, deployment.replicas + surge - alive.length)
    for (let index = 0; index < missing; index++) create(deployment)
    const ready = fresh.filter(isReady).length
    const superfluous =
      stale.length > 0 ? Math.min(stale.length, stale.filter(isReady).length + ready - deployment.replicas + 1) : 0
    for (const pod of stale.slice(0, Math.max(0, superfluous))) discard(pod)
    for (const pod of fresh.slice(deployment.replicas)) discard(pod)
  }

  function wake(deployment: Deployment): void {
    if (deployment.isPending) return
    deployment.isPending = true
    cluster.later((50 + random.next() * 200) / speed, () => reconcile(deployment))
  }

  const unsubscribe = store.subscribe('pods', (event) => {
    const app = event.object.metadata.labels?.app
    const deployment = deployments.find(
      (one) => one.app.name === app && one.app.namespace === event.object.metadata.namespace,
    )
    if (deployment !== undefined) wake(deployment)
  })

  return {
    add(app, replicas) {
      const deployment: Deployment = { app, replicas, version: 1, ...nameRevision(app, random), isPending: false }
      const created: KubeObject[] = []
      for (let index = 0; index < replicas; index++) attempt(() => created.push(create(deployment)))
      deployments.push(deployment)
      return created
    },
    scaleSome() {
      const deployment = random.pick(deployments)
      const change = random.below(2) === 0 ? 1 : -1
      deployment.replicas = Math.max(2, deployment.replicas + change)
      wake(deployment)
    },
    rollSome() {
      const deployment = random.pick(deployments)
      deployment.version++
      Object.assign(deployment, nameRevision(deployment.app, random))
      wake(deployment)
    },
    running: () => deployments.flatMap(podsOf).filter((pod) => isAlive(pod) && isReady(pod)),
    stop: unsubscribe,
  }
}
