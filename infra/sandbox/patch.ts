import { applyPatch, type Operation } from 'rfc6902'
import { isObject, type Json, type JsonObject, type KubeObject } from './kube-object.ts'
import { ApiError, badRequest, unsupportedMediaType } from './status.ts'
import { applyStrategicMerge } from './strategic-merge.ts'

const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
]

/** A patch that has been read and can be tried on any version of the object. */
export interface Patch {
  /** Server-side apply creates what is missing and owns what it names. */
  isApply: boolean
  apply(current: KubeObject): KubeObject
}

// RFC 7386.
function applyMergePatch(current: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const out: JsonObject = isObject(current) ? { ...current } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key]
    else out[key] = applyMergePatch(out[key], value)
  }
  return out
}

/** The real server says no more than this about any operation that fails, tests included. */
function refuseJsonPatch(): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'the server rejected our request due to an error in our request',
    reason: 'Invalid',
    details: {},
    code: 422,
  })
}

function applyJsonPatch(current: KubeObject, operations: Operation[]): KubeObject {
  const copy = structuredClone(current)
  for (const error of applyPatch(copy, operations)) {
    if (error === null) continue
    throw refuseJsonPatch()
  }
  return copy
}

/** @throws ApiError 415 for another media type, 400 for a body that does not fit it. */
export function readPatch(mediaType: string, body: unknown): Patch {
  if (mediaType === 'application/json-patch+json') {
    if (!Array.isArray(body))
      throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch')
    const operations = body as Operation[]
    return { isApply: false, apply: (current) => applyJsonPatch(current, operations) }
  }
  if (!patchTypes.includes(mediaType)) throw unsupportedMediaType(patchTypes)
  if (!isObject(body))
    throw badRequest('error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}')
  if (mediaType === 'application/merge-patch+json') {
    return {
      isApply: false,
      apply: (current) => applyMergePatch(current as unknown as Json, body) as unknown as KubeObject,
    }
  }
  return {
    isApply: mediaType === 'application/apply-patch+yaml',
    apply: (current) =>
      applyStrategicMerge(current.kind, current as unknown as JsonObject, body) as unknown as KubeObject,
  }
}
