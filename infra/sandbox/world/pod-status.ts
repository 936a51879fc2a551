import { timestamp } from '../clock.ts'
import { type JsonObject, type KubeObject, objectAt, objectsIn, text } from '../kube-object.ts'
import { setCondition } from '../pod-actions.ts'

/** How a container is, in the kubelet's words. */
export interface ContainerReport {
  state: JsonObject
  lastState?: JsonObject
  restartCount?: number
  ready?: boolean
}

/** What the kubelet reports of a pod in one status update. */
export interface PodReport {
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed'
  reason?: string
  message?: string
  /** By container name; those left out keep their last report. */
  containers?: Record<string, ContainerReport>
  initContainers?: Record<string, ContainerReport>
  podIp?: string
  hostIp?: string
}

function fakeDigest(image: string): string {
  let hash = 2166136261
  let out = ''
  for (let round = 0; round < 8; round++) {
    for (const char of image) hash = Math.imul(hash ^ char.charCodeAt(0), 16777619) >>> 0
    out += hash.toString(16).padStart(8, '0')
  }
  return out
}

function containerStatus(
  container: JsonObject,
  old: JsonObject | undefined,
  report: ContainerReport | undefined,
): JsonObject {
  const image = text(container.image)
  const state = report?.state ?? objectAt(old, 'state')
  const isRunning = 'running' in state
  const hasRun = isRunning || 'terminated' in state
  const ready = report?.ready ?? (report === undefined ? old?.ready === true : isRunning)
  const full = image.includes('/') ? image : `docker.io/library/${image}`
  return {
    name: text(container.name),
    state,
    lastState: report?.lastState ?? objectAt(old, 'lastState'),
    ready,
    restartCount: report?.restartCount ?? Number(old?.restartCount ?? 0),
    image: hasRun ? full : image,
    imageID: hasRun ? `${full.split(':')[0]}@sha256:${fakeDigest(full)}` : '',
    ...(hasRun
      ? { containerID: `containerd://${fakeDigest(full + text(container.name) + JSON.stringify(state))}` }
      : {}),
    started: isRunning,
    ...(hasRun && objectsIn(container.volumeMounts).length > 0
      ? {
          volumeMounts: objectsIn(container.volumeMounts).map((mount) => ({
            name: mount.name ?? '',
            mountPath: mount.mountPath ?? '',
            ...(mount.readOnly === true ? { readOnly: true, recursiveReadOnly: 'Disabled' } : {}),
          })),
        }
      : {}),
  }
}

function reportAll(
  containers: JsonObject[],
  old: JsonObject[],
  reports: Record<string, ContainerReport> | undefined,
): JsonObject[] {
  return containers.map((container) =>
    containerStatus(
      container,
      old.find((status) => status.name === container.name),
      reports?.[text(container.name)],
    ),
  )
}

function unready(statuses: JsonObject[]): string[] {
  return statuses.filter((status) => status.ready !== true).map((status) => text(status.name))
}

/** The pod with the status that a kubelet would write. */
export function reportPod(pod: KubeObject, report: PodReport, now: number): KubeObject {
  const spec = objectAt(pod, 'spec')
  const old = objectAt(pod, 'status')
  const at = timestamp(now)
  const containers = objectsIn(spec.containers)
  const inits = objectsIn(spec.initContainers)
  const containerStatuses = reportAll(containers, objectsIn(old.containerStatuses), report.containers)
  const initStatuses = reportAll(inits, objectsIn(old.initContainerStatuses), report.initContainers)
  const isDone = report.phase === 'Succeeded'
  const missing = unready(containerStatuses)
  const uninitialized = initStatuses
    .filter((status) => Number(objectAt(status, 'state', 'terminated').exitCode ?? 1) !== 0)
    .map((status) => text(status.name))
  const started = containerStatuses.some((status) => 'running' in objectAt(status, 'state'))
  const excuse = (type: string, names: string[], reason: string, complaint: string): JsonObject => {
    if (isDone && names.length > 0 && type !== 'Initialized') return { type, status: 'False', reason: 'PodCompleted' }
    if (names.length === 0) return { type, status: 'True', ...(isDone ? { reason: 'PodCompleted' } : {}) }
    return { type, status: 'False', reason, message: `containers with ${complaint} status: [${names.join(' ')}]` }
  }
  let conditions = objectsIn(old.conditions)
  for (const condition of [
    { type: 'PodReadyToStartContainers', status: started || missing.length === 0 ? 'True' : 'False' },
    excuse('Initialized', uninitialized, 'ContainersNotInitialized', 'incomplete'),
    excuse('Ready', missing, 'ContainersNotReady', 'unready'),
    excuse('ContainersReady', missing, 'ContainersNotReady', 'unready'),
  ]) {
    conditions = setCondition(conditions, { observedGeneration: pod.metadata.generation ?? 1, ...condition }, at)
  }
  const rank = ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled']
  conditions.sort((a, b) => ((rank.indexOf(text(a.type)) + 9) % 9) - ((rank.indexOf(text(b.type)) + 9) % 9))
  const podIp = report.podIp ?? text(old.podIP)
  const hostIp = report.hostIp ?? text(old.hostIP)
  return {
    ...pod,
    status: {
      observedGeneration: pod.metadata.generation ?? 1,
      phase: report.phase,
      conditions,
      ...(report.message === undefined ? {} : { message: report.message }),
      ...(report.reason === undefined ? {} : { reason: report.reason }),
      ...(hostIp === '' ? {} : { hostIP: hostIp, hostIPs: [{ ip: hostIp }] }),
      ...(podIp === '' ? {} : { podIP: podIp, podIPs: [{ ip: podIp }] }),
      startTime: old.startTime ?? at,
      ...(inits.length === 0 ? {} : { initContainerStatuses: initStatuses }),
      containerStatuses,
      qosClass: old.qosClass ?? 'BestEffort',
    },
  }
}

/** The same report for every container. */
export function everyContainer(
  pod: KubeObject,
  report: (status: JsonObject, name: string) => ContainerReport,
): Record<string, ContainerReport> {
  const statuses = objectsIn(objectAt(pod, 'status').containerStatuses)
  return Object.fromEntries(
    objectsIn(objectAt(pod, 'spec').containers).map((container) => {
      const name = text(container.name)
      return [name, report(statuses.find((status) => status.name === name) ?? {}, name)]
    }),
  )
}
