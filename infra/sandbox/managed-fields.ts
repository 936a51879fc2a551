import {
  isObject,
  type Json,
  type JsonObject,
  type KubeObject,
  type ManagedFieldsEntry,
  sameJson,
} from './kube-object.ts'
import { isAtomicMap, listTypeOf } from './list-types.ts'

// FieldsV1 is a trie: `f:name` a field, `k:{…}` a list item by its keys, `v:…` a member of a set, `.` the node itself.

interface Step {
  label: string
  path: string
  value: Json
}

/** The named parts of a value, or undefined if the value is owned as a whole. */
function stepsOf(kind: string, path: string, value: unknown): Step[] | undefined {
  if (isObject(value)) {
    if (isAtomicMap(path)) return undefined
    return Object.entries(value).map(([key, child]) => ({
      label: `f:${key}`,
      path: path === '' ? key : `${path}.${key}`,
      value: child,
    }))
  }
  if (!Array.isArray(value)) return undefined
  const type = listTypeOf(kind, path)
  if (type?.isSet === true) return value.map((item) => ({ label: `v:${JSON.stringify(item)}`, path, value: item }))
  const keys = type?.ownKeys
  if (keys === undefined) return undefined
  return value.filter(isObject).map((item) => {
    const identity: JsonObject = {}
    for (const key of [...keys].sort()) if (item[key] !== undefined) identity[key] = item[key]
    return { label: `k:${JSON.stringify(identity)}`, path, value: item }
  })
}

function sorted(tree: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(tree).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The fields of `next` that are new or differ from `previous`; undefined if there are none. */
function changed(kind: string, path: string, next: unknown, previous: unknown): JsonObject | undefined {
  if (next === previous) return undefined
  const isNew = previous === undefined || previous === null
  const steps = stepsOf(kind, path, next)
  if (steps === undefined) return !isNew && sameJson(next, previous) ? undefined : {}
  const before = new Map(stepsOf(kind, path, previous)?.map((step) => [step.label, step.value]))
  const tree: JsonObject = {}
  for (const step of steps) {
    const isMember = step.label.startsWith('v:')
    const child = isMember
      ? before.has(step.label)
        ? undefined
        : {}
      : changed(kind, step.path, step.value, before.get(step.label))
    if (child !== undefined) tree[step.label] = child
  }
  // Containers exist as null in Go's zero value of a Pod, so nobody is the first to set the list itself.
  const isItself = isNew && previous !== null
  if (Object.keys(tree).length === 0) return isItself ? {} : undefined
  return sorted(isItself ? { '.': {}, ...tree } : tree)
}

/** What of `tree` is left after taking away the paths of `taken`. */
function subtract(tree: JsonObject, taken: JsonObject): JsonObject | undefined {
  const out: JsonObject = {}
  for (const [label, child] of Object.entries(tree)) {
    const other = taken[label]
    if (!isObject(child)) continue
    if (!isObject(other)) out[label] = child
    else if (Object.keys(other).length > 0 && Object.keys(child).length > 0) {
      const rest = subtract(child, other)
      if (rest !== undefined) out[label] = rest
    }
  }
  return Object.keys(out).length === 0 ? undefined : out
}

/** What of `tree` still exists in `value`. */
function prune(kind: string, path: string, tree: JsonObject, value: unknown): JsonObject | undefined {
  const present = new Map(stepsOf(kind, path, value)?.map((step) => [step.label, step]))
  const out: JsonObject = {}
  for (const [label, child] of Object.entries(tree)) {
    if (label === '.') {
      out[label] = child
      continue
    }
    const step = present.get(label)
    if (step === undefined || !isObject(child)) continue
    const rest = Object.keys(child).length === 0 ? child : prune(kind, step.path, child, step.value)
    if (rest !== undefined) out[label] = rest
  }
  return Object.keys(out).length === 0 ? undefined : out
}

function union(a: JsonObject, b: JsonObject): JsonObject {
  const out: JsonObject = { ...a }
  for (const [label, child] of Object.entries(b)) {
    const mine = out[label]
    if (!isObject(child)) continue
    if (!isObject(mine) || Object.keys(mine).length === 0) {
      // A bare `{}` owns the node itself; with children that has to be said by a dot.
      out[label] = isObject(mine) && Object.keys(child).length > 0 ? sorted({ '.': {}, ...child }) : child
    } else if (Object.keys(child).length === 0) out[label] = sorted({ '.': {}, ...mine })
    else out[label] = union(mine, child)
  }
  return sorted(out)
}

/** The part of an object that can be owned: no identity, no server-set metadata. */
function ownable(object: JsonObject | KubeObject, subresource: string): JsonObject {
  const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object
  const body: JsonObject = { ...(rest as JsonObject) }
  if (subresource === '') delete body.status
  const meta: JsonObject = {}
  for (const key of ['annotations', 'finalizers', 'generateName', 'labels', 'ownerReferences']) {
    const value = (metadata as JsonObject | undefined)?.[key]
    if (value !== undefined) meta[key] = value
  }
  return { ...body, metadata: meta }
}

export interface Ownership {
  manager: string
  subresource: string
  time: string
  operation: 'Apply' | 'Update'
}

/**
 * `metadata.managedFields` after `next` replaces `previous`: the manager takes what it changed, the others lose it, and
 * nobody owns what no longer exists. `blank` is the kind's zero value, which a create starts from. Without `ownership`
 * nobody takes anything, as with a Binding.
 */
export function manageFields(
  previous: KubeObject | undefined,
  next: KubeObject,
  blank: JsonObject,
  ownership: Ownership | undefined,
): ManagedFieldsEntry[] {
  const { kind } = next
  const subresource = ownership?.subresource ?? 'status'
  const before = ownable(previous ?? { ...blank, metadata: {} }, subresource)
  const after = ownable(next, subresource)
  // The zero value's own structs (metadata, spec, status) exist before anyone sets anything in them.
  for (const key of ['metadata', 'spec', 'status']) if (key in after && !(key in before)) before[key] = {}
  const taken = changed(kind, '', after, before)
  const whole = ownable(next, 'status')
  const entries: ManagedFieldsEntry[] = []
  let mine: ManagedFieldsEntry | undefined
  for (const entry of previous?.metadata.managedFields ?? []) {
    const isMine =
      ownership !== undefined &&
      entry.manager === ownership.manager &&
      entry.operation === ownership.operation &&
      (entry.subresource ?? '') === ownership.subresource
    if (isMine) {
      mine = entry
      continue
    }
    const kept = taken === undefined ? entry.fieldsV1 : subtract(entry.fieldsV1, taken)
    const left = kept === undefined ? undefined : prune(kind, '', kept, whole)
    if (left !== undefined) entries.push(sameJson(left, entry.fieldsV1) ? entry : { ...entry, fieldsV1: left })
  }
  if (ownership !== undefined) {
    const old = mine === undefined ? undefined : prune(kind, '', mine.fieldsV1, whole)
    const fieldsV1 = taken === undefined ? old : union(old ?? {}, taken)
    if (fieldsV1 !== undefined) {
      entries.push({
        manager: ownership.manager,
        operation: ownership.operation,
        apiVersion: next.apiVersion,
        time: ownership.time,
        fieldsType: 'FieldsV1',
        fieldsV1,
        ...(ownership.subresource === '' ? {} : { subresource: ownership.subresource }),
      })
    }
  }
  return entries.sort((a, b) => {
    if (a.operation !== b.operation) return a.operation === 'Apply' ? -1 : 1
    if (a.time !== b.time) return a.time < b.time ? -1 : 1
    return a.manager < b.manager ? -1 : 1
  })
}
