import { knownFields } from './field-order.ts'
import { isObject, type Json, type JsonObject } from './kube-object.ts'
import { badRequest } from './status.ts'

/** An object without the fields that its kind does not have, and their paths. */
interface Checked {
  object: JsonObject
  unknown: string[]
}

function check(kind: string, value: Json, path: string, shown: string, unknown: string[]): Json {
  if (Array.isArray(value)) {
    return value.map((item, index) => check(kind, item, path, `${shown}[${index}]`, unknown))
  }
  if (!isObject(value)) return value
  const known = knownFields(kind, path)
  const out: JsonObject = {}
  for (const [key, child] of Object.entries(value)) {
    const below = shown === '' ? key : `${shown}.${key}`
    if (known !== undefined && !known.includes(key)) unknown.push(below)
    else out[key] = check(kind, child, path === '' ? key : `${path}.${key}`, below, unknown)
  }
  return out
}

function inspect(kind: string, body: JsonObject): Checked {
  const unknown: string[] = []
  const object = check(kind, body, '', '', unknown)
  return { object: isObject(object) ? object : body, unknown }
}

/**
 * Drops unknown fields as the real decoder does. Only structs whose fields are listed in `field-order.ts` are judged.
 * `warn` gets a message for each, unless the mode is Ignore.
 * @throws ApiError 400 in mode Strict.
 */
export function validateFields(
  kind: string,
  body: JsonObject,
  mode: string,
  warn: (message: string) => void,
): JsonObject {
  const { object, unknown } = inspect(kind, body)
  if (unknown.length === 0) return body
  const messages = unknown.map((path) => `unknown field "${path}"`)
  if (mode === 'Strict') {
    const what = messages.join(', ')
    throw badRequest(`${kind} in version "v1" cannot be handled as a ${kind}: strict decoding error: ${what}`)
  }
  if (mode !== 'Ignore') for (const message of messages) warn(message)
  return object
}
