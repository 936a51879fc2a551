import type { IncomingMessage } from 'node:http'
import { isObject, type Json, type JsonObject } from './kube-object.ts'
import { decodeProtobuf, protobufType } from './protobuf.ts'
import { badRequest, entityTooLarge, unsupportedMediaType } from './status.ts'

/** apiserver `MaxRequestBodyBytes`. */
const limit = 3 * 1024 * 1024

export function mediaTypeOf(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

/** @throws ApiError 413 above 3 MiB. */
async function readBytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw entityTooLarge(limit)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function parseYaml(source: string): Promise<unknown> {
  // Loaded only when somebody sends YAML: the library takes longer to load than this server to start.
  const { loadYaml } = await import('@kubernetes/client-node')
  return loadYaml(source)
}

async function parse(bytes: Buffer, mediaType: string): Promise<unknown> {
  if (mediaType === protobufType) return decodeProtobuf(bytes)
  const source = bytes.toString()
  try {
    return JSON.parse(source)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    if (!mediaType.endsWith('yaml')) throw badRequest(`couldn't get version/kind; json parse error: ${why}`)
    try {
      return await parseYaml(source)
    } catch {
      throw badRequest(`error converting YAML to JSON: ${why}`)
    }
  }
}

/** Any JSON, YAML or (of known kinds) protobuf; undefined for an empty body. @throws ApiError 400 or 413. */
export async function readValue(request: IncomingMessage): Promise<unknown> {
  const bytes = await readBytes(request)
  return bytes.length === 0 ? undefined : parse(bytes, mediaTypeOf(request))
}

const objectTypes = ['application/json', 'application/yaml', protobufType]

/** Go reads null as absent. */
function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isObject(value)) return value
  const out: JsonObject = {}
  for (const [key, child] of Object.entries(value)) if (child !== null) out[key] = withoutNulls(child)
  return out
}

/** An object to create or replace. @throws ApiError 415 or 400. */
export async function readObject(request: IncomingMessage, kind: string): Promise<JsonObject> {
  const mediaType = mediaTypeOf(request)
  if (mediaType !== '' && !objectTypes.includes(mediaType)) throw unsupportedMediaType(objectTypes)
  const body = await readValue(request)
  if (body === undefined) throw badRequest('EOF')
  const refuse = (what: string) =>
    badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: json: cannot unmarshal ${what}`)
  if (!isObject(body)) {
    throw refuse(`${Array.isArray(body) ? 'array' : typeof body} into Go value of type v1.${kind}`)
  }
  const { metadata } = body
  if (metadata !== undefined && metadata !== null && !isObject(metadata)) {
    throw refuse(`${typeof metadata} into Go struct field ${kind}.metadata of type v1.ObjectMeta`)
  }
  for (const map of ['labels', 'annotations']) {
    const entries = isObject(metadata) ? metadata[map] : undefined
    for (const value of Object.values(isObject(entries) ? entries : {})) {
      if (typeof value !== 'string') {
        throw refuse(`${typeof value} into Go struct field ObjectMeta.metadata.${map} of type string`)
      }
    }
  }
  return withoutNulls(body) as JsonObject
}
