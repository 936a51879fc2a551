import type { KubeObject } from './kube-object.ts'
import type { Rendition } from './negotiate.ts'
import { apiVersionOf, type Resource } from './resources.ts'

/** `ListMeta` in wire order. */
export interface ListMeta {
  resourceVersion: string
  continue?: string
  remainingItemCount?: number
}

/** Go's encoder escapes these inside strings; nothing outside a string can contain them. */
const escaped = /[<>&\u2028\u2029]/g

/** JSON as Go's `encoding/json` writes it. Pretty output is indented by two and has no final newline. */
export function encodeJson(value: unknown, pretty = false): string {
  const json = pretty ? JSON.stringify(value, null, 2) : JSON.stringify(value)
  return json.replace(escaped, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function partial(object: KubeObject): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata }
}

function row(resource: Resource, object: KubeObject, rendition: Rendition, now: number): unknown {
  const cells = resource.table.cells(object, now)
  if (rendition.includeObject === 'None') return { cells, object: null }
  return { cells, object: rendition.includeObject === 'Object' ? object : partial(object) }
}

function table(
  resource: Resource,
  metadata: object,
  objects: KubeObject[],
  rendition: Rendition,
  now: number,
  head: boolean,
) {
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: head ? resource.table.columns : null,
    rows: objects.map((object) => row(resource, object, rendition, now)),
  }
}

/** One object in the shape that was asked for. `head` false leaves the column definitions out, as later watch frames do. */
export function renderObject(
  resource: Resource,
  object: KubeObject,
  rendition: Rendition,
  now: number,
  head = true,
): unknown {
  if (rendition.shape === 'partial') return partial(object)
  if (rendition.shape === 'plain') return object
  const metadata = { resourceVersion: object.metadata.resourceVersion ?? '' }
  return table(resource, metadata, [object], rendition, now, head)
}

/** A list in the shape that was asked for; items of a plain list carry no kind and apiVersion. */
export function renderList(
  resource: Resource,
  metadata: ListMeta,
  objects: KubeObject[],
  rendition: Rendition,
  now: number,
): unknown {
  if (rendition.shape === 'table') return table(resource, metadata, objects, rendition, now, true)
  if (rendition.shape === 'partial') {
    return { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items: objects.map(partial) }
  }
  return {
    kind: `${resource.kind}List`,
    apiVersion: apiVersionOf(resource),
    metadata,
    items: objects.map(({ kind: _kind, apiVersion: _apiVersion, ...rest }) => rest),
  }
}
