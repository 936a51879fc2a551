import { type KubeObject, type OwnerReference, objectAt, text } from '../kube-object.ts'
import { attempt, type Cluster } from './cluster.ts'
import type { Deployments } from './deployments.ts'
import type { Kubelet } from './kubelet.ts'
import { appShapes } from './pod-template.ts'

interface Deed {
  /** How often it is chosen, against the others. */
  weight: number
  /** Pod events that it brings about, roughly. */
  cost: number
  run(): void
}

/** Everything that happens by itself, at about `rate` pod events per second. */
export function makeMischief(cluster: Cluster, kubelet: Kubelet, deployments: Deployments): void {
  const { store, writer, remove, random, rate } = cluster
  const pods = store.resource('pods')
  const manager = { manager: 'kube-controller-manager' }
  let candidates: KubeObject[] = []

  /** A running pod that was not picked in this round yet. */
  function victim(): KubeObject | undefined {
    if (candidates.length === 0) return undefined
    const [picked] = candidates.splice(random.below(candidates.length), 1)
    return picked
  }

  function forVictim(action: (pod: KubeObject) => void): () => void {
    return () => {
      const pod = victim()
      if (pod !== undefined) attempt(() => action(pod))
    }
  }

  function job(name: string): OwnerReference {
    return { apiVersion: 'batch/v1', kind: 'Job', name, uid: random.uuid(), controller: true, blockOwnerDeletion: true }
  }

  /** A pod outside the deployments; it goes away again after a while. */
  function stray(name: string, pod: Partial<KubeObject>): KubeObject {
    const namespace = random.pick(appShapes).namespace
    const created = writer.create(
      pods,
      namespace,
      { ...pod, metadata: { ...pod.metadata, generateName: `${name}-` } },
      manager,
    )
    cluster.later(20_000 + random.below(20_000), () => {
      if (cluster.current(created) !== undefined) remove(pods, namespace, created.metadata.name ?? '')
    })
    return created
  }

  function spec(name: string, extra: object): object {
    return { containers: [{ name, image: 'registry.example.com/platform/task:3' }], ...extra }
  }

  const deeds: Deed[] = [
    {
      weight: 20,
      cost: 10,
      run: forVictim((pod) => remove(pods, pod.metadata.namespace ?? '', pod.metadata.name ?? '')),
    },
    { weight: 20, cost: 6, run: forVictim((pod) => kubelet.crash(pod, 1, 2)) },
    { weight: 10, cost: 3, run: forVictim((pod) => kubelet.crash(pod, 137, 1)) },
    { weight: 25, cost: 2, run: forVictim((pod) => kubelet.blink(pod)) },
    {
      weight: 4,
      cost: 8,
      run: forVictim((pod) => {
        if (text(objectAt(pod, 'status').phase) !== 'Running') return
        const { namespace = '', name = '' } = pod.metadata
        if (random.below(2) === 0) kubelet.evict(pod)
        else cluster.pods.evict(namespace, name, {})
      }),
    },
    { weight: 8, cost: 6, run: () => deployments.scaleSome() },
    { weight: 2, cost: 40, run: () => deployments.rollSome() },
    {
      weight: 8,
      cost: 8,
      run() {
        const name = `report-${random.suffix(5)}`
        stray(name, {
          metadata: { labels: { 'job-name': name }, ownerReferences: [job(name)] },
          spec: spec('task', { restartPolicy: 'Never' }),
        })
      },
    },
    {
      weight: 2,
      cost: 12,
      run() {
        const initContainers = [{ name: 'wait-for-db', image: 'registry.example.com/platform/wait:1' }]
        const pod = stray('importer', {
          metadata: { labels: { app: 'importer' } },
          spec: spec('importer', { initContainers }),
        })
        kubelet.foretell(pod.metadata.uid ?? '', 'initFail')
      },
    },
    {
      weight: 1,
      cost: 4,
      run: () => {
        stray('gpu-trainer', {
          metadata: { labels: { app: 'gpu-trainer' } },
          spec: spec('trainer', { nodeSelector: { accelerator: 'h100' } }),
        })
      },
    },
  ]
  const total = deeds.reduce((sum, deed) => sum + deed.weight, 0)

  function choose(): Deed | undefined {
    let point = random.below(total)
    return deeds.find((deed) => {
      point -= deed.weight
      return point < 0
    })
  }

  const interval = Math.max(20, Math.min(500, 1000 / rate))
  let budget = 0
  cluster.every(interval, () => {
    budget += (rate * interval * 1.05) / 1000
    if (budget <= 0) return
    candidates = deployments.running()
    while (budget > 0) {
      const deed = choose()
      if (deed === undefined) return
      budget -= deed.cost
      attempt(deed.run)
    }
  })
}
