import { compileLabelSelector } from '../../shared/filter/selector.ts'
import type { KubeObject } from '../../workers/kube/object.ts'

export const collections = ['pods', 'leases'] as const
export type Collection = (typeof collections)[number]

/** One change in the cluster's true history. */
export interface Version {
  /** How many restores came before it. */
  timeline: number
  rv: number
  /** Simulated ms. */
  at: number
  collection: Collection
  key: string
  type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** For a deletion the last state, with the version of the deletion. */
  object: KubeObject
  previous?: KubeObject
}

/** A restore of etcd from a backup: everything after `to` never happened. */
export interface Restore {
  at: number
  from: number
  to: number
}

/** The cluster's state and history: what an API server reads from etcd. */
export interface Cluster {
  uid: string
  /** The newest version of all. */
  head(): number
  /** Watches from before this version are expired. */
  compacted(): number
  /** Creates or changes an object. */
  put(collection: Collection, name: string, edit: (old: KubeObject | undefined) => Partial<KubeObject>): void
  remove(collection: Collection, name: string): boolean
  find(collection: Collection, key: string): KubeObject | undefined
  /** The objects as they were at a version. */
  list(collection: Collection, rv?: number): KubeObject[]
  /** The changes of the present timeline after a version. */
  since(collection: Collection, rv: number): Version[]
  compact(rv: number): void
  restore(rv: number): void
  /** True while writing on would hide that a restore happened: its versions would be taken for old ones. */
  readonly restores: readonly Restore[]
  /** All changes ever, those that a restore undid included. */
  readonly history: readonly Version[]
  onChange: () => void
}

const namespace = 'shop'

/** Creates an empty cluster. */
export function createCluster(now: () => number): Cluster {
  const history: Version[] = []
  const restores: Restore[] = []
  let timeline: Version[] = []
  let objects = new Map<string, KubeObject>()
  let head = 100
  let compacted = 0
  let uids = 0

  function record(collection: Collection, key: string, type: Version['type'], object: KubeObject): void {
    const previous = objects.get(`${collection}:${key}`)
    const version: Version = { timeline: restores.length, rv: head, at: now(), collection, key, type, object }
    if (previous !== undefined) version.previous = previous
    history.push(version)
    timeline.push(version)
    if (type === 'DELETED') objects.delete(`${collection}:${key}`)
    else objects.set(`${collection}:${key}`, object)
    cluster.onChange()
  }

  function stateAt(collection: Collection, rv: number): Map<string, KubeObject> {
    const state = new Map<string, KubeObject>()
    for (const version of timeline) {
      if (version.rv > rv || version.collection !== collection) continue
      if (version.type === 'DELETED') state.delete(version.key)
      else state.set(version.key, version.object)
    }
    return state
  }

  const cluster: Cluster = {
    uid: 'cluster-1',
    head: () => head,
    compacted: () => compacted,
    put(collection, name, edit) {
      const key = `${namespace}/${name}`
      const old = objects.get(`${collection}:${key}`)
      head++
      const changed = edit(old)
      record(collection, key, old === undefined ? 'ADDED' : 'MODIFIED', {
        ...changed,
        metadata: {
          ...changed.metadata,
          name,
          namespace,
          uid: old?.metadata?.uid ?? `uid-${++uids}`,
          resourceVersion: String(head),
        },
      })
    },
    remove(collection, name) {
      const key = `${namespace}/${name}`
      const old = objects.get(`${collection}:${key}`)
      if (old === undefined) return false
      head++
      record(collection, key, 'DELETED', { ...old, metadata: { ...old.metadata, resourceVersion: String(head) } })
      return true
    },
    find: (collection, key) => objects.get(`${collection}:${key}`),
    list: (collection, rv = head) =>
      [...stateAt(collection, rv)].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object),
    since: (collection, rv) => timeline.filter((version) => version.collection === collection && version.rv > rv),
    compact(rv) {
      compacted = Math.max(compacted, Math.min(rv, head))
    },
    restore(rv) {
      restores.push({ at: now(), from: head, to: rv })
      head = rv
      compacted = Math.min(compacted, rv)
      timeline = timeline.filter((version) => version.rv <= rv)
      objects = new Map(
        collections.flatMap((collection) =>
          [...stateAt(collection, rv)].map(([key, object]) => [`${collection}:${key}`, object] as const),
        ),
      )
    },
    restores,
    history,
    onChange: () => undefined,
  }
  return cluster
}

/** What a watch with a selector sees of a change, as a real API server tells it: leaving the selector is a deletion. */
export function project(
  version: Version,
  selector: string | undefined,
): { type: Version['type']; object: KubeObject } | undefined {
  if (selector === undefined) return version
  const selects = compileLabelSelector(selector)
  const is = version.type !== 'DELETED' && selects(version.object.metadata?.labels ?? {})
  const was = version.previous !== undefined && selects(version.previous.metadata?.labels ?? {})
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', object: version.object }
  if (!was) return undefined
  const last = version.previous as KubeObject
  const resourceVersion = String(version.rv)
  return { type: 'DELETED', object: { ...last, metadata: { ...last.metadata, resourceVersion } } }
}

/** True where the selector picks the object. */
export function isSelected(object: KubeObject, selector: string | undefined): boolean {
  return selector === undefined || compileLabelSelector(selector)(object.metadata?.labels ?? {})
}
