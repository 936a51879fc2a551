import { type Clock, timestamp } from './clock.ts'
import { type JsonObject, type KubeObject, objectAt, objectsIn, text } from './kube-object.ts'
import type { DeleteOptions, Remover } from './remove.ts'
import { badRequest, conflict, notFound, type Status } from './status.ts'
import type { Store } from './store.ts'
import type { WriteOptions, Writer } from './write.ts'

/** Actions on pods that are neither create, update nor delete. */
export interface PodActions {
  /** What the scheduler does: node name and PodScheduled in one change. @throws ApiError 404 or 409. */
  bind(namespace: string, name: string, binding: Partial<KubeObject>, options?: WriteOptions): Status
  /** What a drain does: condition DisruptionTarget, then a graceful delete. @throws ApiError 404. */
  evict(namespace: string, name: string, eviction: Partial<KubeObject>): Status
}

const created: Status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 }

/** The same conditions with one set; `lastTransitionTime` moves only when the status does. */
export function setCondition(conditions: JsonObject[], next: JsonObject, now: string): JsonObject[] {
  const old = conditions.find((condition) => condition.type === next.type)
  const since = old !== undefined && old.status === next.status ? (old.lastTransitionTime ?? now) : now
  const condition: JsonObject = { lastProbeTime: null, lastTransitionTime: since, ...next }
  return old === undefined ? [...conditions, condition] : conditions.map((other) => (other === old ? condition : other))
}

export function createPodActions(store: Store, writer: Writer, remove: Remover, clock: Clock): PodActions {
  const pods = store.resource('pods')
  const bindings = { group: '', plural: 'pods/binding' }

  return {
    bind(namespace, name, binding, options = {}) {
      const target = text(objectAt(binding, 'target').name)
      if (target === '') throw badRequest('target.name: Required value')
      const pod = store.get(pods, namespace, name)
      if (pod === undefined) throw notFound(pods, name)
      // Source of the refusals: `pkg/registry/core/pod/storage/storage.go`, `setPodNodeAndMetadata`.
      if (pod.metadata.deletionTimestamp !== undefined) {
        throw conflict(bindings, name, `pod ${name} is being deleted, cannot be assigned to a host`)
      }
      const bound = text(objectAt(pod, 'spec').nodeName)
      if (bound !== '') throw conflict(bindings, name, `pod ${name} is already assigned to node "${bound}"`)
      if (objectsIn(objectAt(pod, 'spec').schedulingGates).length > 0) {
        throw conflict(bindings, name, `pod ${name} has non-empty .spec.schedulingGates`)
      }
      if (options.dryRun === true) return created
      const condition = { type: 'PodScheduled', status: 'True' }
      const status = objectAt(pod, 'status')
      const now = timestamp(clock.now())
      const spec = { ...objectAt(pod, 'spec'), nodeName: target }
      const conditions = setCondition(objectsIn(status.conditions), condition, now)
      // Spec and status change in one commit, which no writer of either may do: this goes straight to the store. The
      // scheduler's earlier complaint loses its owner with its fields.
      const managedFields = (pod.metadata.managedFields ?? []).filter((entry) => entry.manager !== 'kube-scheduler')
      const { managedFields: _old, ...metadata } = pod.metadata
      store.put(pods, {
        ...pod,
        metadata: managedFields.length === 0 ? metadata : { ...metadata, managedFields },
        spec,
        status: { ...status, conditions },
      })
      return created
    },
    evict(namespace, name, eviction) {
      const options = objectAt(eviction, 'deleteOptions') as DeleteOptions
      const mark = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'EvictionByEvictionAPI',
        message: 'Eviction API: evicting',
      }
      writer.update(
        pods,
        namespace,
        name,
        (pod) => {
          const status = objectAt(pod, 'status')
          const conditions = setCondition(objectsIn(status.conditions), mark, timestamp(clock.now()))
          return { ...pod, status: { ...status, conditions } }
        },
        { manager: 'kube-apiserver', subresource: 'status' },
      )
      remove(pods, namespace, name, options)
      return created
    },
  }
}
