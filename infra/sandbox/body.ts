import type { IncomingMessage } from 'node:http'
import { isObject, type JsonObject } from './kube-object.ts'
import { badRequest, entityTooLarge, unsupportedMediaType } from './status.ts'

/** apiserver `MaxRequestBodyBytes`. */
const limit = 3 * 1024 * 1024

export function mediaTypeOf(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

/** @throws ApiError 413 above 3 MiB. */
export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw entityTooLarge(limit)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

async function parseYaml(source: string): Promise<unknown> {
  // Loaded only when somebody sends YAML: the library takes longer to load than this server to start.
  const { loadYaml } = await import('@kubernetes/client-node')
  return loadYaml(source)
}

/** Parses JSON, or YAML where JSON fails and YAML is allowed. @throws ApiError 400. */
export async function parseBody(source: string, allowYaml: boolean): Promise<unknown> {
  try {
    return JSON.parse(source)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    if (!allowYaml) throw badRequest(`couldn't get version/kind; json parse error: ${why}`)
    try {
      return await parseYaml(source)
    } catch {
      throw badRequest(`error converting YAML to JSON: ${why}`)
    }
  }
}

const objectTypes = ['application/json', 'application/yaml']

/** An object to create or replace. @throws ApiError 415 or 400. */
export async function readObject(request: IncomingMessage, kind: string): Promise<JsonObject> {
  const mediaType = mediaTypeOf(request)
  if (mediaType !== '' && !objectTypes.includes(mediaType)) throw unsupportedMediaType(objectTypes)
  const source = await readBody(request)
  const body = await parseBody(source, mediaType === 'application/yaml')
  if (!isObject(body)) {
    throw badRequest(
      `${kind} in version "v1" cannot be handled as a ${kind}: json: cannot unmarshal into Go value of type`,
    )
  }
  const meta = body.metadata
  if (meta !== undefined && !isObject(meta)) {
    throw badRequest(
      `${kind} in version "v1" cannot be handled as a ${kind}: json: cannot unmarshal ${typeof meta} into Go struct field ${kind}.metadata of type v1.ObjectMeta`,
    )
  }
  return body
}
