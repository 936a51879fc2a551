import type { Change } from '../../shared/event.ts'
import { asObject, asString } from './normalizer.ts'

/** CPU and memory of a container, the two that can change in place. Quantities as they are written. */
export interface Resources {
  requests?: Quantities
  limits?: Quantities
}

interface Quantities {
  cpu?: string
  memory?: string
}

/** What a container has and what it is to have; as far as they differ, which is nearly never. */
export interface ContainerResources {
  resources?: Resources
  requested?: Resources
}

/** Reads a container's resources from its spec and from its status (which tells them since Kubernetes 1.33). */
export function readResources(spec: unknown, status: unknown): ContainerResources {
  const wanted = readSet(spec)
  const actual = readSet(status)
  const isSame = isEqual(wanted, actual)
  return { ...(actual === undefined ? {} : { resources: actual }), ...(isSame || !wanted ? {} : { requested: wanted }) }
}

/**
 * How far a resize is, from the two conditions that tell it.
 * @see https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/#pod-resize-status
 */
export function readResize(
  pending: Record<string, unknown> | undefined,
  running: Record<string, unknown> | undefined,
): string | undefined {
  if (pending !== undefined) return asString(pending.reason) ?? 'Pending'
  return running === undefined ? undefined : (asString(running.reason) ?? 'InProgress')
}

/** A container that was asked to change (`stage: requested`) and one that did (`actual`). */
export function compareResources(container: string, old: ContainerResources, next: ContainerResources): Change[] {
  const changes: Change[] = []
  const compare = (stage: string, from: Resources | undefined, to: Resources | undefined) => {
    if (from !== undefined && to !== undefined && !isEqual(from, to)) {
      changes.push({ type: 'resized', container, stage, from, to })
    }
  }
  compare('requested', old.requested ?? old.resources, next.requested ?? next.resources)
  compare('actual', old.resources, next.resources)
  return changes
}

function readSet(value: unknown): Resources | undefined {
  const { requests, limits } = asObject(value)
  const set: Resources = {}
  const [asked, most] = [readQuantities(requests), readQuantities(limits)]
  if (asked !== undefined) set.requests = asked
  if (most !== undefined) set.limits = most
  return asked === undefined && most === undefined ? undefined : set
}

function readQuantities(value: unknown): Quantities | undefined {
  const { cpu, memory } = asObject(value)
  const quantities: Quantities = {}
  if (typeof cpu === 'string') quantities.cpu = cpu
  if (typeof memory === 'string') quantities.memory = memory
  return quantities.cpu === undefined && quantities.memory === undefined ? undefined : quantities
}

function isEqual(a: Resources | undefined, b: Resources | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}
