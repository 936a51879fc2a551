import { type Clock, timestamp } from './clock.ts'
import { arrangeFields } from './field-order.ts'
import type { KubeObject } from './kube-object.ts'
import type { Random } from './random.ts'
import { apiVersionOf, type Resource, resourceKey } from './resources.ts'

/** One committed change. The object of a DELETED is the last state, carrying the delete's own resourceVersion. */
export interface StoreEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly resourceVersion: number
  readonly key: string
  readonly object: KubeObject
  /** The state before: absent for ADDED. */
  readonly previous: KubeObject | undefined
  /** Encoded watch frames, by shape and type, filled by the first watcher that needs one. */
  readonly frames: Map<string, Buffer>
}

/** A resource by its row, its plural (`pods`) or its full key (`leases.coordination.k8s.io`). */
type ResourceRef = Resource | string

export interface StoreOptions {
  clock: Clock
  random: Random
  resources: readonly Resource[]
  /** Events per resource that a watch or a consistent page may still reach back to. */
  window: number
  /** Keep every event for {@link Store.history}, whatever the window. */
  keepHistory: boolean
}

/** Objects, the one resourceVersion counter, and the events: what etcd and the watch cache are to a real server. */
export interface Store {
  readonly resources: readonly Resource[]
  /** The resourceVersion of the newest commit. */
  readonly resourceVersion: number
  resource(ref: ResourceRef): Resource
  get(ref: ResourceRef, namespace: string, name: string): KubeObject | undefined
  /** Current objects in key order, of one namespace or (with '') all. */
  list(ref: ResourceRef, namespace?: string): KubeObject[]
  /**
   * Creates or replaces, without validation: missing kind, uid, creationTimestamp are filled in. Replacing an object
   * with an equal one still commits a new version.
   */
  put(ref: ResourceRef, object: Partial<KubeObject>): KubeObject
  /** Removes at once; the returned object carries the delete's resourceVersion. Undefined if there was nothing. */
  remove(ref: ResourceRef, namespace: string, name: string): KubeObject | undefined
  /** Every event so far (or, without `keepHistory`, those still in the window), oldest first. */
  history(ref: ResourceRef): readonly StoreEvent[]
  /** Events after `resourceVersion`; undefined if the window no longer reaches that far. */
  since(ref: ResourceRef, resourceVersion: number): readonly StoreEvent[] | undefined
  /** The oldest resourceVersion from which a watch of this resource can start. */
  oldest(ref: ResourceRef): number
  /** The collection as it was at `resourceVersion`, in key order; undefined if the window no longer reaches it. */
  listAt(ref: ResourceRef, resourceVersion: number, namespace?: string): KubeObject[] | undefined
  /** Forgets what can be resumed from before now, as an etcd compaction does. */
  compact(ref?: ResourceRef): void
  /** Calls back synchronously after each commit, until the returned function is called. */
  subscribe(ref: ResourceRef, listener: (event: StoreEvent) => void): () => void
  /** Calls back once the counter has reached `resourceVersion`; the returned function cancels. */
  onceAt(resourceVersion: number, callback: () => void): () => void
}

interface Collection {
  resource: Resource
  objects: Map<string, KubeObject>
  sortedKeys: string[] | undefined
  events: StoreEvent[]
  /** Events before this index are history, not window. */
  windowStart: number
  oldest: number
  listeners: Set<(event: StoreEvent) => void>
}

export function objectKey(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`
}

/** The newest events of a collection that keep their encoded frames. */
const framesKept = 1000

export function createStore(options: StoreOptions): Store {
  const collections = new Map<string, Collection>()
  const byPlural = new Map<string, Collection>()
  const waiting = new Set<{ resourceVersion: number; callback: () => void }>()
  let counter = 1

  for (const resource of options.resources.filter((row) => row.stored)) {
    const collection: Collection = {
      resource,
      objects: new Map(),
      sortedKeys: [],
      events: [],
      windowStart: 0,
      oldest: 1,
      listeners: new Set(),
    }
    collections.set(resourceKey(resource), collection)
    if (!byPlural.has(resource.plural)) byPlural.set(resource.plural, collection)
  }

  function find(ref: ResourceRef): Collection {
    const key = typeof ref === 'string' ? ref : resourceKey(ref)
    const found = collections.get(key) ?? byPlural.get(key)
    if (found === undefined) throw new Error(`the sandbox stores no ${key}`)
    return found
  }

  function trim(collection: Collection): void {
    // Encoded frames weigh as much as the objects, and only watchers of the moment share them.
    collection.events[collection.events.length - framesKept]?.frames.clear()
    const excess = collection.events.length - collection.windowStart - options.window
    if (excess <= 0) return
    collection.windowStart += excess
    const first = collection.events[collection.windowStart]
    collection.oldest = first === undefined ? counter : first.resourceVersion - 1
    // Shifting one by one would copy the array at each commit, so the dead part is dropped in bulk.
    if (!options.keepHistory && collection.windowStart > options.window) {
      collection.events = collection.events.slice(collection.windowStart)
      collection.windowStart = 0
    }
  }

  function commit(
    collection: Collection,
    type: StoreEvent['type'],
    key: string,
    object: KubeObject,
    previous: KubeObject | undefined,
  ): void {
    const event: StoreEvent = { type, resourceVersion: counter, key, object, previous, frames: new Map() }
    collection.events.push(event)
    trim(collection)
    for (const listener of collection.listeners) listener(event)
    for (const entry of waiting) {
      if (entry.resourceVersion > counter) continue
      waiting.delete(entry)
      entry.callback()
    }
  }

  function keysOf(collection: Collection): string[] {
    collection.sortedKeys ??= [...collection.objects.keys()].sort()
    return collection.sortedKeys
  }

  function within(namespace: string | undefined): (key: string) => boolean {
    if (namespace === undefined || namespace === '') return () => true
    const prefix = `${namespace}/`
    return (key) => key.startsWith(prefix)
  }

  function indexAfter(collection: Collection, resourceVersion: number): number {
    let low = collection.windowStart
    let high = collection.events.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((collection.events[middle]?.resourceVersion ?? 0) <= resourceVersion) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    resources: options.resources,
    get resourceVersion() {
      return counter
    },
    resource: (ref) => find(ref).resource,
    get: (ref, namespace, name) => find(ref).objects.get(objectKey(namespace, name)),
    list(ref, namespace) {
      const collection = find(ref)
      const inside = within(namespace)
      const out: KubeObject[] = []
      for (const key of keysOf(collection)) {
        const object = inside(key) ? collection.objects.get(key) : undefined
        if (object !== undefined) out.push(object)
      }
      return out
    },
    put(ref, given) {
      const collection = find(ref)
      const { resource } = collection
      const meta = given.metadata ?? {}
      const key = objectKey(resource.namespaced ? (meta.namespace ?? 'default') : '', meta.name ?? '')
      const previous = collection.objects.get(key)
      counter++
      const object = arrangeFields({
        ...given,
        kind: resource.kind,
        apiVersion: apiVersionOf(resource),
        metadata: {
          ...meta,
          ...(resource.namespaced ? { namespace: meta.namespace ?? 'default' } : {}),
          uid: meta.uid ?? previous?.metadata.uid ?? options.random.uuid(),
          resourceVersion: String(counter),
          creationTimestamp:
            meta.creationTimestamp ?? previous?.metadata.creationTimestamp ?? timestamp(options.clock.now()),
        },
      })
      collection.objects.set(key, object)
      if (previous === undefined) collection.sortedKeys = undefined
      commit(collection, previous === undefined ? 'ADDED' : 'MODIFIED', key, object, previous)
      return object
    },
    remove(ref, namespace, name) {
      const collection = find(ref)
      const key = objectKey(namespace, name)
      const previous = collection.objects.get(key)
      if (previous === undefined) return undefined
      counter++
      collection.objects.delete(key)
      collection.sortedKeys = undefined
      const object = withResourceVersion(previous, counter)
      commit(collection, 'DELETED', key, object, previous)
      return object
    },
    history: (ref) => find(ref).events,
    since(ref, resourceVersion) {
      const collection = find(ref)
      if (resourceVersion < collection.oldest) return undefined
      return collection.events.slice(indexAfter(collection, resourceVersion))
    },
    oldest: (ref) => find(ref).oldest,
    listAt(ref, resourceVersion, namespace) {
      const collection = find(ref)
      if (resourceVersion < collection.oldest) return undefined
      const state = new Map(collection.objects)
      for (let index = collection.events.length - 1; index >= collection.windowStart; index--) {
        const event = collection.events[index]
        if (event === undefined || event.resourceVersion <= resourceVersion) break
        if (event.previous === undefined) state.delete(event.key)
        else state.set(event.key, event.previous)
      }
      const inside = within(namespace)
      const keys = [...state.keys()].filter(inside).sort()
      return keys.flatMap((key) => state.get(key) ?? [])
    },
    compact(ref) {
      for (const collection of ref === undefined ? collections.values() : [find(ref)]) {
        collection.windowStart = collection.events.length
        collection.oldest = counter
      }
    },
    subscribe(ref, listener) {
      const { listeners } = find(ref)
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    onceAt(resourceVersion, callback) {
      if (counter >= resourceVersion) {
        callback()
        return () => undefined
      }
      const entry = { resourceVersion, callback }
      waiting.add(entry)
      return () => waiting.delete(entry)
    },
  }
}

/** The same object with another resourceVersion: what a DELETED carries. */
export function withResourceVersion(object: KubeObject, resourceVersion: number): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(resourceVersion) } }
}
