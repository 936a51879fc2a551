import { isObject, type Json, type JsonObject, sameJson } from './kube-object.ts'
import { listTypeOf } from './list-types.ts'
import { badRequest } from './status.ts'

const orderPrefix = '$setElementOrder/'
const removePrefix = '$deleteFromPrimitiveList/'

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([key]) => key !== '$patch' && key !== '$retainKeys'))
}

function mergeKeyed(kind: string, path: string, key: string, current: Json[], patch: Json[]): Json[] {
  if (patch.some((item) => isObject(item) && item.$patch === 'replace')) {
    return patch.filter((item) => !(isObject(item) && item.$patch === 'replace'))
  }
  let merged = [...current]
  for (const item of patch) {
    if (!isObject(item)) throw badRequest(`expected an object in ${path}`)
    const identity = item[key]
    if (identity === undefined)
      throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`)
    const isIt = (other: Json) => isObject(other) && sameJson(other[key], identity)
    if (item.$patch === 'delete') {
      merged = merged.filter((other) => !isIt(other))
      continue
    }
    const index = merged.findIndex(isIt)
    const found = merged[index]
    if (isObject(found)) merged[index] = mergeObject(kind, path, found, item)
    else merged.push(mergeObject(kind, path, {}, item))
  }
  return merged
}

/** Puts the items that the directive names in its order; the rest keep their places relative to what precedes them. */
function reorder(items: Json[], order: Json[], key: string | undefined): Json[] {
  const identity = (item: Json) => JSON.stringify(key !== undefined && isObject(item) ? item[key] : item)
  const rank = new Map(order.map((item, index) => [identity(item), index]))
  const listed = items.filter((item) => rank.has(identity(item)))
  listed.sort((a, b) => (rank.get(identity(a)) ?? 0) - (rank.get(identity(b)) ?? 0))
  let next = 0
  return items.map((item) => (rank.has(identity(item)) ? (listed[next++] ?? item) : item))
}

function mergeList(kind: string, path: string, current: Json | undefined, patch: Json[]): Json[] {
  const type = listTypeOf(kind, path)
  const before = Array.isArray(current) ? current : []
  if (type?.isSet === true) return [...before, ...patch.filter((item) => !before.includes(item))]
  if (type?.mergeKey === undefined) return patch
  return mergeKeyed(kind, path, type.mergeKey, before, patch)
}

function mergeObject(kind: string, path: string, current: JsonObject, patch: JsonObject): JsonObject {
  if (patch.$patch === 'replace') return withoutDirectives(patch)
  if (patch.$patch === 'delete') return {}
  const out: JsonObject = { ...current }
  if (Array.isArray(patch.$retainKeys)) {
    for (const key of Object.keys(out)) if (!patch.$retainKeys.includes(key)) delete out[key]
  }
  const below = (key: string) => (path === '' ? key : `${path}.${key}`)
  for (const [key, value] of Object.entries(patch)) {
    if (key === '$patch' || key === '$retainKeys' || key.startsWith(orderPrefix)) continue
    if (key.startsWith(removePrefix)) {
      const name = key.slice(removePrefix.length)
      const list = out[name]
      if (Array.isArray(list) && Array.isArray(value)) out[name] = list.filter((item) => !value.includes(item))
      continue
    }
    const before = out[key]
    if (value === null) delete out[key]
    else if (Array.isArray(value)) out[key] = mergeList(kind, below(key), before, value)
    else if (isObject(value)) {
      if (value.$patch === 'delete') delete out[key]
      else out[key] = mergeObject(kind, below(key), isObject(before) ? before : {}, value)
    } else out[key] = value
  }
  for (const [key, order] of Object.entries(patch)) {
    if (!key.startsWith(orderPrefix) || !Array.isArray(order)) continue
    const name = key.slice(orderPrefix.length)
    const list = out[name]
    if (Array.isArray(list)) out[name] = reorder(list, order, listTypeOf(kind, below(name))?.mergeKey)
  }
  return out
}

/**
 * kubectl's default patch: like a JSON merge patch, but lists with a merge key are merged item by item.
 * Source: apimachinery `pkg/util/strategicpatch`.
 * @throws ApiError 400 when an item lacks its merge key.
 */
export function applyStrategicMerge(kind: string, current: JsonObject, patch: JsonObject): JsonObject {
  return mergeObject(kind, '', current, patch)
}
