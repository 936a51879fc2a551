import { microTimestamp, timestamp } from './clock.ts'
import { isObject, type Json, type JsonObject } from './kube-object.ts'
import { badRequest } from './status.ts'

// kubectl's typed clients write protobuf (`kubectl create rolebinding`, `auth can-i`, `create token`) and read JSON.
// Only the kinds that they write are described here. Field numbers: the `generated.proto` files of `k8s.io/api`.

/** `*string` and `*int` are pointers in Go: their zero values mean something and are kept. */
type Scalar = 'string' | 'int' | 'bool' | '*string' | '*int' | 'time' | 'micro' | 'map' | 'strings'
type FieldType = Scalar | Message | { readonly each: Message }
interface Message {
  readonly [fieldNumber: number]: readonly [name: string, type: FieldType]
}

const ownerReference: Message = {
  1: ['kind', 'string'],
  3: ['name', 'string'],
  4: ['uid', 'string'],
  5: ['apiVersion', 'string'],
  6: ['controller', 'bool'],
  7: ['blockOwnerDeletion', 'bool'],
}
const metadata: Message = {
  1: ['name', 'string'],
  2: ['generateName', 'string'],
  3: ['namespace', 'string'],
  5: ['uid', 'string'],
  6: ['resourceVersion', 'string'],
  7: ['generation', 'int'],
  8: ['creationTimestamp', 'time'],
  9: ['deletionTimestamp', 'time'],
  11: ['labels', 'map'],
  12: ['annotations', 'map'],
  13: ['ownerReferences', { each: ownerReference }],
  14: ['finalizers', 'strings'],
}
const subject: Message = {
  1: ['kind', 'string'],
  2: ['apiGroup', 'string'],
  3: ['name', 'string'],
  4: ['namespace', 'string'],
}
const roleRef: Message = { 1: ['apiGroup', 'string'], 2: ['kind', 'string'], 3: ['name', 'string'] }
const rule: Message = {
  1: ['verbs', 'strings'],
  2: ['apiGroups', 'strings'],
  3: ['resources', 'strings'],
  4: ['resourceNames', 'strings'],
  5: ['nonResourceURLs', 'strings'],
}
const resourceAttributes: Message = {
  1: ['namespace', 'string'],
  2: ['verb', 'string'],
  3: ['group', 'string'],
  4: ['version', 'string'],
  5: ['resource', 'string'],
  6: ['subresource', 'string'],
  7: ['name', 'string'],
}
const attributes: Message = {
  1: ['resourceAttributes', resourceAttributes],
  2: ['nonResourceAttributes', { 1: ['path', 'string'], 2: ['verb', 'string'] }],
}
const reference: Message = {
  1: ['kind', 'string'],
  2: ['namespace', 'string'],
  3: ['name', 'string'],
  4: ['uid', 'string'],
  5: ['apiVersion', 'string'],
  6: ['resourceVersion', 'string'],
  7: ['fieldPath', 'string'],
}
const deleteOptions: Message = {
  1: ['gracePeriodSeconds', '*int'],
  2: ['preconditions', { 1: ['uid', 'string'], 2: ['resourceVersion', 'string'] }],
  4: ['propagationPolicy', 'string'],
  5: ['dryRun', 'strings'],
}
const binding: Message = { 1: ['metadata', metadata], 2: ['subjects', { each: subject }], 3: ['roleRef', roleRef] }
const role: Message = { 1: ['metadata', metadata], 2: ['rules', { each: rule }] }

function withSpec(spec: Message): Message {
  return { 1: ['metadata', metadata], 2: ['spec', spec] }
}

const kinds: Record<string, Message> = {
  RoleBinding: binding,
  ClusterRoleBinding: binding,
  Role: role,
  ClusterRole: role,
  Namespace: withSpec({ 1: ['finalizers', 'strings'] }),
  ConfigMap: { 1: ['metadata', metadata], 2: ['data', 'map'] },
  ServiceAccount: { 1: ['metadata', metadata] },
  SelfSubjectAccessReview: withSpec(attributes),
  SubjectAccessReview: withSpec({
    ...attributes,
    3: ['user', 'string'],
    4: ['groups', 'strings'],
    6: ['uid', 'string'],
  }),
  LocalSubjectAccessReview: withSpec({
    ...attributes,
    3: ['user', 'string'],
    4: ['groups', 'strings'],
    6: ['uid', 'string'],
  }),
  SelfSubjectRulesReview: withSpec({ 1: ['namespace', 'string'] }),
  SelfSubjectReview: { 1: ['metadata', metadata] },
  TokenReview: withSpec({ 1: ['token', 'string'], 2: ['audiences', 'strings'] }),
  TokenRequest: withSpec({ 1: ['audiences', 'strings'], 4: ['expirationSeconds', '*int'] }),
  Lease: withSpec({
    1: ['holderIdentity', '*string'],
    2: ['leaseDurationSeconds', '*int'],
    3: ['acquireTime', 'micro'],
    4: ['renewTime', 'micro'],
    5: ['leaseTransitions', '*int'],
    6: ['strategy', '*string'],
    7: ['preferredHolder', '*string'],
  }),
  Binding: { 1: ['metadata', metadata], 2: ['target', reference] },
  Eviction: { 1: ['metadata', metadata], 2: ['deleteOptions', deleteOptions] },
  DeleteOptions: deleteOptions,
}

/** One field as it is on the wire: a number, or bytes. */
interface WireField {
  number: number
  value: bigint | Buffer
}

function* readFields(bytes: Buffer): Generator<WireField> {
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined || shift > 63n) throw badRequest('unexpected EOF')
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const wire = tag & 7
    if (wire === 0) yield { number: tag >> 3, value: varint() }
    else if (wire === 2) {
      const length = Number(varint())
      if (at + length > bytes.length) throw badRequest('unexpected EOF')
      yield { number: tag >> 3, value: bytes.subarray(at, at + length) }
      at += length
    } else throw badRequest(`proto: illegal wireType ${wire}`)
  }
}

function readText(value: bigint | Buffer): string {
  return typeof value === 'bigint' ? String(value) : value.toString()
}

function readNumber(value: bigint | Buffer): number {
  return typeof value === 'bigint' ? Number(BigInt.asIntN(64, value)) : 0
}

function readTime(value: Buffer, isMicro: boolean): string | undefined {
  let seconds = 0
  let nanos = 0
  for (const field of readFields(value)) {
    if (field.number === 1) seconds = readNumber(field.value)
    if (field.number === 2) nanos = readNumber(field.value)
  }
  if (seconds === 0 && nanos === 0) return undefined
  const micros = Math.floor(nanos / 1000)
  const ms = seconds * 1000 + Math.floor(micros / 1000)
  return isMicro ? microTimestamp(ms, micros % 1000) : timestamp(ms)
}

function readScalar(type: Scalar, value: bigint | Buffer): Json | undefined {
  switch (type) {
    case 'string':
      return readText(value) || undefined
    case 'int':
      return readNumber(value) || undefined
    case 'bool':
      return readNumber(value) !== 0 ? true : undefined
    case '*string':
      return readText(value)
    case '*int':
      return readNumber(value)
    default:
      return typeof value === 'bigint' ? undefined : readTime(value, type === 'micro')
  }
}

function decode(message: Message, bytes: Buffer): JsonObject {
  const out: JsonObject = {}
  for (const { number, value } of readFields(bytes)) {
    const field = message[number]
    if (field === undefined) continue
    const [name, type] = field
    const before = out[name]
    if (type === 'map') {
      const entry = typeof value === 'bigint' ? {} : decode({ 1: ['key', '*string'], 2: ['value', '*string'] }, value)
      out[name] = { ...(isObject(before) ? before : {}), [String(entry.key ?? '')]: entry.value ?? '' }
    } else if (type === 'strings') out[name] = [...(Array.isArray(before) ? before : []), readText(value)]
    else if (typeof type === 'string') {
      const scalar = readScalar(type, value)
      if (scalar !== undefined) out[name] = scalar
    } else if (typeof value !== 'bigint') {
      if ('each' in type) out[name] = [...(Array.isArray(before) ? before : []), decode(type.each, value)]
      else out[name] = decode(type, value)
    }
  }
  return out
}

export const protobufType = 'application/vnd.kubernetes.protobuf'

/** Decodes the Kubernetes envelope and the object in it. @throws ApiError 400 for another kind or broken bytes. */
export function decodeProtobuf(bytes: Buffer): JsonObject {
  if (bytes.subarray(0, 4).toString('latin1') !== 'k8s\0') {
    throw badRequest('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]')
  }
  const type: Message = { 1: ['apiVersion', 'string'], 2: ['kind', 'string'] }
  let head: JsonObject = {}
  let raw: Buffer = Buffer.alloc(0)
  for (const { number, value } of readFields(bytes.subarray(4))) {
    if (typeof value === 'bigint') continue
    if (number === 1) head = decode(type, value)
    if (number === 2) raw = value
  }
  const message = kinds[String(head.kind)]
  if (message === undefined) throw badRequest(`the sandbox reads no protobuf of kind ${String(head.kind)}`)
  return { ...head, ...decode(message, raw) }
}
