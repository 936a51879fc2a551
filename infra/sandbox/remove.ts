import { type Clock, timestamp } from './clock.ts'
import { type KubeObject, objectAt, sameJson, text } from './kube-object.ts'
import type { Resource } from './resources.ts'
import { conflict, notFound } from './status.ts'
import { type Store, withResourceVersion } from './store.ts'

/** `metav1.DeleteOptions`, as far as they matter here. */
export interface DeleteOptions {
  gracePeriodSeconds?: number
  preconditions?: { uid?: string; resourceVersion?: string }
  dryRun?: boolean
}

/** What a delete left: the object, and whether it is gone already. */
interface Removal {
  object: KubeObject
  isGone: boolean
}

function checkPreconditions(resource: Resource, current: KubeObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {}
  const name = current.metadata.name ?? ''
  // Source: apiserver `registry/rest/delete.go`.
  if (uid !== undefined && uid !== current.metadata.uid) {
    throw conflict(
      resource,
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${current.metadata.uid}). The object might have been deleted and then recreated`,
    )
  }
  if (resourceVersion !== undefined && resourceVersion !== current.metadata.resourceVersion) {
    throw conflict(
      resource,
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${current.metadata.resourceVersion}). The object might have been modified`,
    )
  }
}

/** Seconds a pod gets; kinds without graceful deletion get undefined. Source: `pkg/registry/core/pod/strategy.go`. */
function graceOf(resource: Resource, current: KubeObject, options: DeleteOptions): number | undefined {
  if (resource.kind !== 'Pod') return undefined
  const spec = objectAt(current, 'spec')
  const phase = objectAt(current, 'status').phase
  if (text(spec.nodeName) === '' || phase === 'Failed' || phase === 'Succeeded') return 0
  const asked = options.gracePeriodSeconds
  if (asked !== undefined && asked >= 0) return asked
  return Number(spec.terminationGracePeriodSeconds ?? 30)
}

export type Remover = (resource: Resource, namespace: string, name: string, options?: DeleteOptions) => Removal

/**
 * Deletes as the real server does: gracefully where the kind has it, waiting for finalizers, and for namespaces until
 * their content is gone. A pod's last seconds are two events, MODIFIED with grace 0 and DELETED.
 */
export function createRemover(store: Store, clock: Clock): Remover {
  function mark(resource: Resource, current: KubeObject, grace: number): KubeObject {
    const { deletionTimestamp, generation } = current.metadata
    const marked: KubeObject = {
      ...current,
      metadata: {
        ...current.metadata,
        deletionTimestamp: timestamp(clock.now() + grace * 1000),
        deletionGracePeriodSeconds: grace,
        ...(generation !== undefined && deletionTimestamp === undefined ? { generation: generation + 1 } : {}),
      },
      ...(resource.kind === 'Namespace' ? { status: { ...objectAt(current, 'status'), phase: 'Terminating' } } : {}),
    }
    return sameJson(marked, current) ? current : store.put(resource, marked)
  }

  function emptyNamespace(namespace: string): void {
    for (const resource of store.resources.filter((row) => row.stored && row.namespaced)) {
      for (const object of store.list(resource, namespace)) {
        remove(resource, namespace, object.metadata.name ?? '', { gracePeriodSeconds: 0 })
      }
    }
    const left = store.resources.some((row) => row.stored && row.namespaced && store.list(row, namespace).length > 0)
    if (left) clock.after(1000, () => emptyNamespace(namespace))
    else {
      const last = store.get('namespaces', '', namespace)
      // Finalized first: its own MODIFIED, as the namespace controller's call to /finalize makes one.
      if (last !== undefined) store.put('namespaces', { ...last, spec: {} })
      store.remove('namespaces', '', namespace)
    }
  }

  function remove(resource: Resource, namespace: string, name: string, options: DeleteOptions = {}): Removal {
    const current = store.get(resource, namespace, name)
    if (current === undefined) throw notFound(resource, name)
    checkPreconditions(resource, current, options)
    if (options.dryRun === true) return { object: current, isGone: true }
    const hasFinalizers = (current.metadata.finalizers ?? []).length > 0
    if (resource.kind === 'Namespace') {
      if (current.metadata.deletionTimestamp !== undefined) return { object: current, isGone: false }
      const object = mark(resource, current, 0)
      // Like the namespace controller, after the answer is out.
      clock.after(0, () => emptyNamespace(name))
      return { object, isGone: false }
    }
    const grace = graceOf(resource, current, options)
    if (grace === undefined && !hasFinalizers) {
      return { object: store.remove(resource, namespace, name) ?? current, isGone: true }
    }
    const before = current.metadata.deletionGracePeriodSeconds
    const isPending = current.metadata.deletionTimestamp !== undefined
    // A pending deletion may only be hastened.
    if (isPending && (options.gracePeriodSeconds === undefined || (grace ?? 0) >= (before ?? 0))) {
      if ((before ?? 0) > 0 || hasFinalizers) return { object: current, isGone: false }
    }
    const object = isPending && (before ?? 0) === 0 ? current : mark(resource, current, grace ?? 0)
    if ((grace ?? 0) > 0 || hasFinalizers) return { object, isGone: false }
    return {
      object: store.remove(resource, namespace, name) ?? withResourceVersion(object, store.resourceVersion),
      isGone: true,
    }
  }

  return remove
}
