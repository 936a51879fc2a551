import type { Change, ObjectData } from '../../shared/event.ts'
import type { KubeObject } from '../kube/object.ts'
import {
  addPresent,
  asArray,
  asNumber,
  asObject,
  asString,
  compareLabels,
  type Normalizer,
  readMeta,
} from './normalizer.ts'
import { compareResources, type Resources, readResize, readResources } from './pod-resize.ts'
import { computeColumns, readState } from './pod-status.ts'

/** One container of a Pod, as far as the relay tells of it. */
export interface ContainerData {
  name: string
  /** Absent for an ordinary container. */
  kind?: 'init' | 'sidecar' | 'ephemeral'
  ready: boolean
  restarts: number
  state: 'waiting' | 'running' | 'terminated' | 'unknown'
  /** Why it waits, or how it ended. */
  reason?: string
  exitCode?: number
  signal?: number
  /** What it has, as its status says. */
  resources?: Resources
  /** What it is to have, where that is something else or its status does not say. */
  requested?: Resources
  /** How the run before this one ended. */
  last?: { exitCode: number; signal?: number; reason?: string; finishedAt?: string }
}

/** What the relay tells of a Pod. */
export interface PodData extends ObjectData {
  phase: string
  /** The word in kubectl's STATUS column. */
  status: string
  /** `<ready>/<all>` containers. */
  ready: string
  /** The Ready condition. */
  isReady: boolean
  restarts: number
  node?: string
  /** `status.reason`: `Evicted`, `NodeLost`, … */
  reason?: string
  /** Why the scheduler cannot place it. */
  unschedulable?: string
  /** `deletionTimestamp`. */
  terminating?: string
  /** The reason of condition DisruptionTarget. */
  disrupted?: string
  /** How far a resize in place is: the reason of PodResizePending (`Deferred`, `Infeasible`), else `InProgress` or `Error`. */
  resizing?: string
  containers: ContainerData[]
}

const unplaced = new Set(['Unschedulable', 'SchedulingGated', 'SchedulerError'])

const starting = new Set(['ContainerCreating', 'PodInitializing'])

/** Turns Pods into events. */
export const podNormalizer: Normalizer<PodData> = {
  kind: 'pod',
  read: readPod,
  follow: (old, next) => ({ data: next, changes: comparePods(old, next), isEvent: true }),
  end: (old, last) => ({ data: last, changes: comparePods(old, last), isEvent: true }),
}

function readPod(object: KubeObject): PodData {
  const spec = asObject(object.spec)
  const status = asObject(object.status)
  const conditions = asArray(status.conditions).map(asObject)
  const find = (type: string, value: string) => conditions.find((c) => c.type === type && c.status === value)
  const terminating = asString(object.metadata?.deletionTimestamp)
  const data: PodData = {
    ...readMeta(object),
    phase: asString(status.phase) ?? 'Unknown',
    ...computeColumns(spec, status, terminating !== undefined),
    isReady: find('Ready', 'True') !== undefined,
    containers: readContainers(spec, status),
  }
  const held = asString(find('PodScheduled', 'False')?.reason)
  const optional = {
    node: asString(spec.nodeName),
    reason: asString(status.reason),
    unschedulable: held !== undefined && unplaced.has(held) ? held : undefined,
    terminating,
    disrupted: asString(find('DisruptionTarget', 'True')?.reason),
    resizing: readResize(find('PodResizePending', 'True'), find('PodResizeInProgress', 'True')),
  }
  addPresent(data, optional)
  return data
}

function readContainers(spec: Record<string, unknown>, status: Record<string, unknown>): ContainerData[] {
  const isSidecar = (name: unknown) =>
    asArray(spec.initContainers).some((c) => asObject(c).name === name && asObject(c).restartPolicy === 'Always')
  const list = (field: string, specs: string, kindOf: (name: unknown) => ContainerData['kind']) =>
    asArray(status[field]).map((item) => {
      const entry = asObject(item)
      const container = readContainer(entry, kindOf(entry.name))
      const own = asArray(spec[specs]).find((c) => asObject(c).name === entry.name)
      return Object.assign(container, readResources(asObject(own).resources, entry.resources))
    })
  return [
    ...list('initContainerStatuses', 'initContainers', (name) => (isSidecar(name) ? 'sidecar' : 'init')),
    ...list('containerStatuses', 'containers', () => undefined),
    ...list('ephemeralContainerStatuses', 'ephemeralContainers', () => 'ephemeral'),
  ]
}

function readContainer(container: Record<string, unknown>, kind: ContainerData['kind']): ContainerData {
  const { terminated, waiting, running } = readState(container)
  const data: ContainerData = {
    name: asString(container.name) ?? '',
    ...(kind === undefined ? {} : { kind }),
    ready: container.ready === true,
    restarts: asNumber(container.restartCount) ?? 0,
    state: terminated ? 'terminated' : waiting ? 'waiting' : running ? 'running' : 'unknown',
  }
  const reason = asString((terminated ?? waiting)?.reason)
  if (reason !== undefined) data.reason = reason
  if (terminated !== undefined) Object.assign(data, readEnd(terminated))
  const last = asObject(container.lastState).terminated
  if (last !== undefined && last !== null) {
    const end = readEnd(asObject(last))
    const finishedAt = asString(asObject(last).finishedAt)
    data.last = { ...end, ...(finishedAt === undefined ? {} : { finishedAt }) }
  }
  return data
}

function readEnd(terminated: Record<string, unknown>) {
  const signal = asNumber(terminated.signal)
  const reason = asString(terminated.reason)
  return {
    exitCode: asNumber(terminated.exitCode) ?? 0,
    ...(signal === undefined ? {} : { signal }),
    ...(reason === undefined ? {} : { reason }),
  }
}

/** What happened between two versions; for a new Pod, what it already is. */
export function comparePods(old: PodData | undefined, next: PodData): Change[] {
  const changes: Change[] = []
  const moved = (type: string, from: unknown, to: unknown) => {
    if (from !== to) changes.push(from === undefined ? { type, to } : { type, from, to })
  }
  const appeared = (type: string, from: string | undefined, to: string | undefined) => {
    if (to !== undefined) moved(type, from, to)
  }
  moved('phase', old?.phase, next.phase)
  moved('status', old?.status, next.status)
  if (old !== undefined && (old.ready !== next.ready || old.isReady !== next.isReady)) {
    changes.push({ type: 'ready', from: old.ready, to: next.ready, isReady: next.isReady })
  }
  if (old?.node === undefined) appeared('bound', undefined, next.node)
  appeared('unschedulable', old?.unschedulable, next.unschedulable)
  appeared('terminating', old?.terminating, next.terminating)
  appeared('disrupted', old?.disrupted, next.disrupted)
  if (next.reason === 'Evicted') moved('evicted', old?.reason, next.reason)
  if (old?.resizing !== next.resizing) moved('resizing', old?.resizing, next.resizing ?? null)
  for (const container of next.containers) {
    const before = old?.containers.find((c) => c.name === container.name && c.kind === container.kind)
    changes.push(...compareContainers(before, container))
  }
  return old === undefined ? changes : [...changes, ...compareLabels(old, next)]
}

function compareContainers(old: ContainerData | undefined, next: ContainerData): Change[] {
  const changes: Change[] = []
  const before = old?.restarts ?? 0
  // The kubelet tells of the end first (lastState, waiting) and counts when it starts again; the count may also fall, when
  // dead containers were cleaned up, or stand still. One version may hide several restarts.
  const isRunAgain = next.restarts === before && next.state === 'running' && hasNewEnd(old, next)
  if (next.restarts > before || (next.restarts < before && next.last !== undefined) || isRunAgain) {
    const { finishedAt: _, ...end } = next.last ?? {}
    const count = Math.max(1, next.restarts - before)
    changes.push({ type: 'restarted', container: next.name, from: before, to: next.restarts, count, ...end })
  }
  const waits = troubleOf(next)
  const waited = old === undefined ? undefined : troubleOf(old)
  if (waits !== undefined && waits !== waited) {
    changes.push({
      type: 'waiting',
      container: next.name,
      ...(waited === undefined ? {} : { from: waited }),
      to: waits,
    })
  }
  return old === undefined ? changes : [...changes, ...compareResources(next.name, old, next)]
}

/** Why a container waits, where that is no part of an ordinary start. */
function troubleOf({ state, reason }: ContainerData): string | undefined {
  return state === 'waiting' && reason !== undefined && !starting.has(reason) ? reason : undefined
}

function hasNewEnd(old: ContainerData | undefined, next: ContainerData): boolean {
  return next.last !== undefined && old !== undefined && JSON.stringify(old.last) !== JSON.stringify(next.last)
}
