import { readFileSync } from 'node:fs'

/** Frames of a watch, one after another, each already wrapped as the HTTP chunk in which an API server sends it. */
export interface Body {
  bytes: Buffer
  /** Where each chunk begins; the last entry is the end. */
  offsets: Float64Array
  /** Frame `i` has the resourceVersion `firstVersion + i`. */
  firstVersion: number
}

/** What to multiply, and how often. */
export interface Workload {
  kind: 'pods' | 'leases'
  /** `lifecycle`: each object from its creation to its end; `initial`: each object once; `renewals`: all objects in turn. */
  shape: 'lifecycle' | 'initial' | 'renewals'
  objects: number
  frames: number
  /** The first frame's resourceVersion. All have ten digits, so that every frame of one template has the same length. */
  firstVersion: number
  /** Every so many objects have a later version, and are the changed ones of a second list. */
  changedEvery?: number
}

const recordings = new URL('../../recordings/', import.meta.url)
/** So many objects live at once; their frames come in turn. */
const alive = 500

interface Frame {
  type: string
  object: { metadata: Record<string, unknown>; spec: Record<string, unknown>; status?: Record<string, unknown> }
}

/** A frame with the places of what is different in each copy. */
interface Template {
  bytes: Buffer
  names: number[]
  uids: number[]
  versions: number[]
  times: number[]
  seconds: number[]
}

const name = 'bench-#####'
const uid = '00000000-0000-4000-8000-############'
const version = '##########'
const second = '2026-11-20T23:59:##Z'
const time = '2026-11-20T23:59:##.####'

/** Multiplies recorded frames with fresh names, uids and resourceVersions. */
export function createBody(workload: Workload): Body {
  const templates = readTemplates(workload)
  const longest = Math.max(...templates.map(({ bytes }) => bytes.length))
  const bytes = Buffer.allocUnsafe(workload.frames * (longest + 16))
  const offsets = new Float64Array(workload.frames + 1)
  let at = 0
  for (let frame = 0; frame < workload.frames; frame++) {
    const { object, template } = place(workload, templates, frame)
    at += bytes.write(`${template.bytes.length.toString(16)}\r\n`, at, 'latin1')
    template.bytes.copy(bytes, at)
    const fill = (places: number[], text: string) => {
      for (const offset of places) bytes.write(text, at + offset, 'latin1')
    }
    fill(template.names, object.toString(36).padStart(5, '0'))
    fill(template.uids, object.toString(16).padStart(12, '0'))
    const isChanged = workload.changedEvery !== undefined && frame % workload.changedEvery === 0
    fill(template.versions, String(workload.firstVersion + frame + (isChanged ? workload.frames : 0)))
    const moment = String(frame % 600_000).padStart(6, '0')
    fill(template.seconds, moment.slice(0, 2))
    fill(template.times, `${moment.slice(0, 2)}.${moment.slice(2)}`)
    at += template.bytes.length
    at += bytes.write('\r\n', at, 'latin1')
    offsets[frame + 1] = at
  }
  return { bytes: bytes.subarray(0, at), offsets, firstVersion: workload.firstVersion }
}

/** Which object and which moment of its life a frame shows. */
function place(workload: Workload, templates: Template[], frame: number): { object: number; template: Template } {
  const pick = (index: number) => templates[index % templates.length] as Template
  if (workload.shape !== 'lifecycle') {
    const object = frame % workload.objects
    return { object, template: pick(object) }
  }
  const perGeneration = alive * templates.length
  const generation = Math.floor(frame / perGeneration)
  const rest = frame % perGeneration
  return { object: generation * alive + (rest % alive), template: pick(Math.floor(rest / alive)) }
}

function readTemplates({ kind, shape }: Workload): Template[] {
  const recorded = readFileSync(new URL(`${kind}-lifecycle.body`, recordings), 'utf8')
    .trimEnd()
    .split('\n')
  const frames = recorded.map((line) => JSON.parse(line) as Frame)
  if (kind === 'leases') {
    const renewals = frames.filter(({ type, object }) => type === 'MODIFIED' && object.spec.renewTime !== undefined)
    const sizes = new Map(renewals.map((frame) => [JSON.stringify(frame).length, frame]))
    return [...sizes.values()]
      .slice(0, 3)
      .map((frame) => makeTemplate(shape === 'initial' ? { ...frame, type: 'ADDED' } : frame))
  }
  const first = frames.find(({ type, object }) => type === 'ADDED' && String(object.metadata.name).startsWith('web-'))
  const life = frames.filter(({ object }) => object.metadata.uid === first?.object.metadata.uid).map(complete)
  const running = life.filter(({ object }) => object.status?.phase === 'Running').slice(0, 1)
  return (shape === 'initial' ? running.map((frame) => ({ ...frame, type: 'ADDED' })) : life).map(makeTemplate)
}

/** Adds what the recorded cluster had no use for and every other one has: probes, environment, the token's volume. */
function complete({ type, object }: Frame): Frame {
  const spec = structuredClone(object.spec)
  const mount = 'kube-api-access-7xk2p'
  const variables = Array.from({ length: 9 }, (_, i) => ({
    name: `SERVICE_SETTING_${i}`,
    value: `value-of-setting-${i}`,
  }))
  const probe = {
    httpGet: { path: '/healthz', port: 8080, scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  }
  Object.assign((spec.containers as object[])[0] ?? {}, {
    env: variables,
    livenessProbe: probe,
    readinessProbe: probe,
    volumeMounts: [{ name: mount, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
  })
  const token = { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } }
  const trust = { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } }
  spec.volumes = [{ name: mount, projected: { sources: [token, trust], defaultMode: 420 } }]
  const fields = Object.fromEntries(
    variables.map((variable) => [`k:{"name":"${variable.name}"}`, { '.': {}, 'f:name': {}, 'f:value': {} }]),
  )
  const managed = structuredClone(object.metadata.managedFields) as { fieldsV1: Record<string, unknown> }[]
  Object.assign(managed[0]?.fieldsV1 ?? {}, { 'f:spec.env': fields })
  return { type, object: { ...object, metadata: { ...object.metadata, managedFields: managed }, spec } }
}

function makeTemplate({ type, object }: Frame): Template {
  const metadata: Record<string, unknown> = { ...object.metadata, name, uid, resourceVersion: version }
  const managed = metadata.managedFields as object[] | undefined
  if (object.spec.renewTime !== undefined) {
    metadata.managedFields = managed?.map((entry) => ({ ...entry, time: second }))
  }
  const spec = object.spec.renewTime === undefined ? object.spec : { ...object.spec, renewTime: `${time}00Z` }
  const bytes = Buffer.from(`${JSON.stringify({ type, object: { ...object, metadata, spec } })}\n`)
  return {
    bytes,
    names: findAll(bytes, name, '#'),
    uids: findAll(bytes, uid, '#'),
    versions: findAll(bytes, `"${version}"`, '#'),
    times: findAll(bytes, time, '#'),
    seconds: findAll(bytes, second, '#'),
  }
}

function findAll(bytes: Buffer, text: string, mark: string): number[] {
  const found: number[] = []
  for (let at = bytes.indexOf(text); at !== -1; at = bytes.indexOf(text, at + 1)) found.push(at + text.indexOf(mark))
  return found
}
