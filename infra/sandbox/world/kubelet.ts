import { timestamp } from '../clock.ts'
import { type JsonObject, type KubeObject, objectAt, objectsIn, text } from '../kube-object.ts'
import { setCondition } from '../pod-actions.ts'
import type { Cluster } from './cluster.ts'
import { type ContainerReport, everyContainer, type PodReport, reportPod } from './pod-status.ts'

/** What becomes of a pod after it is bound. */
type Fate =
  /** Runs until somebody ends it. */
  | 'run'
  /** Ends by itself with exit code 0. */
  | 'complete'
  /** Fails again and again. */
  | 'crash'
  /** Its first init container never succeeds. */
  | 'initFail'
  /** Its image cannot be pulled. */
  | 'badImage'

/** All the cluster's kubelets in one. */
export interface Kubelet {
  /** Decides a pod's fate before its kubelet sees it. */
  foretell(uid: string, fate: Fate): void
  /** Ends a running container: exit code 137 is OOMKilled. It comes back, `times` times in all, ever later. */
  crash(pod: KubeObject, exitCode: number, times: number): void
  /** Fails the pod for want of memory on its node, as the eviction manager does. */
  evict(pod: KubeObject): void
  /** Fails a readiness probe once. */
  blink(pod: KubeObject): void
  /** Binds a pod and brings it to Running at once, without the steps between. */
  settle(pod: KubeObject, node: string): void
  stop(): void
}

/** What a user's pod says about its own fate. */
function readFate(pod: KubeObject): Fate {
  const spec = objectAt(pod, 'spec')
  const first = objectsIn(spec.containers)[0]
  const words = [first?.command, first?.args].flatMap((list) => (Array.isArray(list) ? list : [])).map(String)
  const line = words.join(' ')
  if (/(^|\/)(nope|does-not-exist|missing)(:|$)/.test(text(first?.image))) return 'badImage'
  if (/^(\/bin\/)?false$|exit [1-9]/.test(line)) return 'crash'
  if (spec.restartPolicy !== 'Always' && !/sleep (infinity|\d{3,})/.test(line)) return 'complete'
  return 'run'
}

export function createKubelet(cluster: Cluster, speed: number): Kubelet {
  const { store, writer, remove, clock, random } = cluster
  const pods = store.resource('pods')
  const seen = new Set<string>()
  const ending = new Set<string>()
  const fates = new Map<string, Fate>()
  let lastIp = 0

  const soon = (least: number, most: number) => (least + random.next() * (most - least)) / speed
  const now = () => timestamp(clock.now())

  function nextIp(): string {
    lastIp = (lastIp % 64_000) + 1
    return `10.244.${lastIp >> 8}.${lastIp & 255}`
  }

  function report(pod: KubeObject, make: (current: KubeObject) => PodReport): KubeObject | undefined {
    const current = cluster.current(pod)
    if (current === undefined) return undefined
    const { namespace = '', name = '' } = current.metadata
    const change = (object: KubeObject) => reportPod(object, make(object), clock.now())
    return writer.update(pods, namespace, name, change, { manager: 'kubelet', subresource: 'status' })
  }

  const waiting = (reason: string, message?: string): JsonObject => ({
    waiting: { reason, ...(message === undefined ? {} : { message }) },
  })
  const running = (): JsonObject => ({ running: { startedAt: now() } })
  const terminated = (status: JsonObject, exitCode: number): JsonObject => ({
    terminated: {
      exitCode,
      reason: exitCode === 0 ? 'Completed' : exitCode === 137 ? 'OOMKilled' : 'Error',
      startedAt: text(objectAt(status, 'state', 'running').startedAt) || now(),
      finishedAt: now(),
    },
  })
  const isOver = (pod: KubeObject) => ['Succeeded', 'Failed'].includes(text(objectAt(pod, 'status').phase))
  const isLeaving = (pod: KubeObject) => pod.metadata.deletionTimestamp !== undefined

  function names(pod: KubeObject, key: 'containers' | 'initContainers'): string[] {
    return objectsIn(objectAt(pod, 'spec')[key]).map((container) => text(container.name))
  }

  function same(list: string[], state: () => ContainerReport): Record<string, ContainerReport> {
    return Object.fromEntries(list.map((name) => [name, state()]))
  }

  function addresses(pod: KubeObject): Pick<PodReport, 'podIp' | 'hostIp'> {
    const node = store.get('nodes', '', text(objectAt(pod, 'spec').nodeName))
    const hostIp = objectsIn(objectAt(node, 'status').addresses).find((one) => one.type === 'InternalIP')?.address
    const known = text(objectAt(pod, 'status').podIP)
    return { podIp: known === '' ? nextIp() : known, hostIp: text(hostIp) }
  }

  function runReport(pod: KubeObject): PodReport {
    return {
      phase: 'Running',
      ...addresses(pod),
      containers: same(names(pod, 'containers'), () => ({ state: running() })),
      initContainers: same(names(pod, 'initContainers'), () => ({ state: terminated({}, 0), ready: true })),
    }
  }

  function start(pod: KubeObject): void {
    const fate = fates.get(pod.metadata.uid ?? '') ?? readFate(pod)
    const inits = names(pod, 'initContainers')
    report(pod, () => ({
      phase: 'Pending',
      containers: same(names(pod, 'containers'), () => ({
        state: waiting(inits.length > 0 ? 'PodInitializing' : 'ContainerCreating'),
      })),
      initContainers: same(inits, () => ({ state: waiting('PodInitializing') })),
    }))
    if (fate === 'badImage') {
      cluster.later(soon(500, 1500), () => failPull(pod, 0))
      return
    }
    if (inits.length > 0) {
      cluster.later(soon(300, 1200), () => initialize(pod, fate, 0))
      return
    }
    cluster.later(soon(400, 2500), () => run(pod, fate))
  }

  function failPull(pod: KubeObject, round: number): void {
    const current = cluster.current(pod)
    if (current === undefined || isLeaving(current)) return
    const image = text(objectsIn(objectAt(current, 'spec').containers)[0]?.image)
    const reason = round % 2 === 0 ? 'ErrImagePull' : 'ImagePullBackOff'
    const message =
      round % 2 === 0 ? `failed to pull and unpack image "${image}": not found` : `Back-off pulling image "${image}"`
    report(current, (object) => ({
      phase: 'Pending',
      ...addresses(object),
      containers: same(names(object, 'containers'), () => ({ state: waiting(reason, message) })),
    }))
    if (round < 9) cluster.later(soon(10_000, 20_000), () => failPull(pod, round + 1))
  }

  function initialize(pod: KubeObject, fate: Fate, restarts: number): void {
    const current = cluster.current(pod)
    if (current === undefined || isLeaving(current)) return
    const [first = ''] = names(current, 'initContainers')
    report(current, (object) => ({
      phase: 'Pending',
      ...addresses(object),
      initContainers: { [first]: { state: running(), restartCount: restarts, ready: false } },
    }))
    cluster.later(soon(400, 1500), () => {
      if (fate !== 'initFail') {
        const done = () => ({ state: terminated({}, 0), ready: true })
        report(pod, () => ({ phase: 'Pending', initContainers: same(names(current, 'initContainers'), done) }))
        cluster.later(soon(100, 600), () => run(pod, fate))
        return
      }
      report(pod, (object) => {
        const status = objectsIn(objectAt(object, 'status').initContainerStatuses)[0] ?? {}
        const end = terminated(status, 3)
        return {
          phase: 'Pending',
          initContainers: {
            [first]:
              restarts === 0
                ? { state: end, ready: false }
                : {
                    state: waiting('CrashLoopBackOff', `back-off restarting failed container=${first}`),
                    lastState: end,
                    ready: false,
                  },
          },
        }
      })
      if (restarts < 8) cluster.later(soon(2000, 4000) * 2 ** restarts, () => initialize(pod, fate, restarts + 1))
    })
  }

  function run(pod: KubeObject, fate: Fate): void {
    const current = cluster.current(pod)
    if (current === undefined || isLeaving(current) || isOver(current)) return
    report(current, runReport)
    if (fate === 'complete') cluster.later(soon(1500, 5000), () => complete(pod))
    if (fate === 'crash') cluster.later(soon(500, 1500), () => crash(pod, 1, 6))
  }

  function complete(pod: KubeObject): void {
    const current = cluster.current(pod)
    if (current === undefined || isLeaving(current) || isOver(current)) return
    report(current, (object) => ({
      phase: 'Succeeded',
      containers: everyContainer(object, (status) => ({ state: terminated(status, 0), ready: false })),
    }))
  }

  function crash(pod: KubeObject, exitCode: number, times: number): void {
    const current = cluster.current(pod)
    if (current === undefined || isLeaving(current) || isOver(current)) return
    const [name = ''] = names(current, 'containers')
    const restarts = Number(objectsIn(objectAt(current, 'status').containerStatuses)[0]?.restartCount ?? 0)
    const mayRestart = objectAt(current, 'spec').restartPolicy !== 'Never'
    const dead = report(current, (object) => {
      const status = objectsIn(objectAt(object, 'status').containerStatuses)[0] ?? {}
      const phase = mayRestart ? 'Running' : 'Failed'
      return { phase, containers: { [name]: { state: terminated(status, exitCode), ready: false } } }
    })
    if (!mayRestart || dead === undefined) return
    const end = objectAt(objectsIn(objectAt(dead, 'status').containerStatuses)[0] ?? {}, 'state')
    cluster.later(soon(300, 900), () => {
      const message = `back-off ${10 * 2 ** Math.min(restarts, 5)}s restarting failed container=${name}`
      report(pod, () => ({
        phase: 'Running',
        containers: { [name]: { state: waiting('CrashLoopBackOff', message), lastState: end, ready: false } },
      }))
    })
    cluster.later(soon(1500, 2500) * 2 ** Math.min(restarts, 4), () => {
      const back = cluster.current(pod)
      if (back === undefined || isLeaving(back) || isOver(back)) return
      report(pod, () => ({
        phase: 'Running',
        containers: { [name]: { state: running(), lastState: end, restartCount: restarts + 1, ready: true } },
      }))
      if (times > 1) cluster.later(soon(800, 2000), () => crash(pod, exitCode, times - 1))
    })
  }

  function end(pod: KubeObject): void {
    const { uid = '', namespace = '', name = '', deletionGracePeriodSeconds = 30 } = pod.metadata
    if (ending.has(uid)) return
    ending.add(uid)
    const grace = Math.min(deletionGracePeriodSeconds * 1000, soon(800, 3000))
    cluster.later(grace, () => {
      const current = cluster.current(pod)
      if (current === undefined) return
      if (!isOver(current)) {
        report(current, (object) => ({
          phase: text(objectAt(object, 'status').phase) === 'Pending' ? 'Failed' : 'Succeeded',
          containers: everyContainer(object, (status) =>
            'running' in objectAt(status, 'state')
              ? { state: terminated(status, 0), ready: false }
              : { state: objectAt(status, 'state'), ready: false },
          ),
        }))
      }
      cluster.later(soon(50, 300), () => {
        if (cluster.current(pod) !== undefined) remove(pods, namespace, name, { gracePeriodSeconds: 0 })
      })
    })
  }

  function look(pod: KubeObject): void {
    const { uid = '' } = pod.metadata
    const node = text(objectAt(pod, 'spec').nodeName)
    // A pod bound to a node that does not exist has no kubelet.
    if (node === '' || store.get('nodes', '', node) === undefined) return
    if (isLeaving(pod)) {
      end(pod)
      return
    }
    if (seen.has(uid) || isOver(pod)) return
    seen.add(uid)
    // Somebody else reports for this one, or did before this kubelet came.
    if (objectsIn(objectAt(pod, 'status').containerStatuses).length > 0) return
    cluster.later(soon(100, 800), () => {
      const current = cluster.current(pod)
      if (current !== undefined && !isLeaving(current)) start(current)
    })
  }

  const unsubscribe = store.subscribe('pods', (event) => {
    if (event.type !== 'DELETED') {
      look(event.object)
      return
    }
    const { uid = '' } = event.object.metadata
    seen.delete(uid)
    ending.delete(uid)
    fates.delete(uid)
  })

  return {
    foretell: (uid, fate) => {
      fates.set(uid, fate)
    },
    crash,
    evict(pod) {
      const { namespace = '', name = '' } = pod.metadata
      const change = (object: KubeObject): KubeObject => {
        // Nothing is known of containers that were killed in haste.
        const { containerStatuses: _gone, initContainerStatuses: _too, ...status } = objectAt(object, 'status')
        const mark = {
          type: 'DisruptionTarget',
          status: 'True',
          reason: 'TerminationByKubelet',
          message: 'The node was low on resource: memory. Threshold quantity: 100Mi, available: 84312Ki.',
        }
        const conditions = objectsIn(status.conditions).map((condition) =>
          text(condition.type).endsWith('Ready')
            ? { ...condition, status: 'False', reason: 'PodFailed', lastTransitionTime: now() }
            : condition,
        )
        return {
          ...object,
          status: {
            ...status,
            phase: 'Failed',
            reason: 'Evicted',
            message: mark.message,
            conditions: setCondition(conditions, mark, now()),
          },
        }
      }
      if (cluster.current(pod) !== undefined) {
        writer.update(pods, namespace, name, change, { manager: 'kubelet', subresource: 'status' })
      }
    },
    blink(pod) {
      const [name = ''] = names(pod, 'containers')
      const set = (ready: boolean) => {
        const current = cluster.current(pod)
        const status = objectsIn(objectAt(current, 'status').containerStatuses)[0] ?? {}
        const state = objectAt(status, 'state')
        if (current === undefined || isLeaving(current) || !('running' in state)) return
        report(pod, () => ({ phase: 'Running', containers: { [name]: { state, ready } } }))
      }
      set(false)
      cluster.later(soon(1000, 4000), () => set(true))
    },
    settle(pod, node) {
      const { uid = '', namespace = '', name = '' } = pod.metadata
      seen.add(uid)
      cluster.pods.bind(namespace, name, { target: { kind: 'Node', name: node } })
      report(pod, runReport)
    },
    stop: unsubscribe,
  }
}
