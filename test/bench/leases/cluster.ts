import { readFileSync } from 'node:fs'
import type { Body } from '../ingest/workload.ts'

/** The Leases of a large cluster: one for each node, and those of leader elections. */
export interface LeaseCluster {
  kind: 'lease-cluster'
  /** `initial`: each Lease once; `renewals`: what kubelets and leaders write, evenly spread over time. */
  shape: 'initial' | 'renewals'
  nodes: number
  elections: number
  /** Every so manieth write is an election's, each in its turn. */
  electionEvery: number
  /** Every so manieth write of an election has a new holder; all others are renewals. */
  transferEvery: number
  /** Writes a second. */
  rate: number
  frames: number
  firstVersion: number
}

interface Lease {
  metadata: { managedFields: object[]; ownerReferences?: object[]; name: string }
  spec: object
}

const began = Date.UTC(2026, 10, 20)

export const nodeNamespace = 'kube-node-lease'
export const nameNode = (index: number) => `node-${String(index).padStart(6, '0')}`

/** Multiplies the recorded Lease of a node and that of an election. */
export function createLeases(cluster: LeaseCluster): Body {
  const node = readRecorded('node-1')
  const election = readRecorded('kube-scheduler')
  const chunks: Buffer[] = []
  const offsets = new Float64Array(cluster.frames + 1)
  let at = 0
  const offset = cluster.shape === 'initial' ? 0 : 60_000
  for (const [frame, { kind, index, term }] of [...play(cluster)].entries()) {
    const version = String(cluster.firstVersion + frame)
    const time = formatMicroTime(began + offset, (frame / cluster.rate) * 1e6)
    const lease = kind === 'node' ? writeNode(node, index) : writeElection(election, index, term)
    const line = writeFrame(cluster.shape, lease, version, time)
    const chunk = Buffer.from(`${Buffer.byteLength(line).toString(16)}\r\n${line}\r\n`)
    chunks.push(chunk)
    at += chunk.length
    offsets[frame + 1] = at
  }
  return { bytes: Buffer.concat(chunks, at), offsets, firstVersion: cluster.firstVersion }
}

/** How many writes of a cluster are a change of the holder. */
export function countTransfers({ frames, electionEvery, transferEvery }: LeaseCluster): number {
  return Math.floor(Math.floor(frames / electionEvery) / transferEvery)
}

interface Write {
  kind: 'node' | 'election'
  index: number
  /** How many holders an election had before. */
  term: number
}

/** Who writes, one after another. */
function* play(cluster: LeaseCluster): Generator<Write> {
  const { shape, nodes, elections, electionEvery, transferEvery, frames } = cluster
  if (shape === 'initial') {
    for (let index = 0; index < nodes; index++) yield { kind: 'node', index, term: 0 }
    for (let index = 0; index < elections; index++) yield { kind: 'election', index, term: 0 }
    return
  }
  const terms = new Array<number>(elections).fill(0)
  for (let frame = 1, turns = 0; frame <= frames; frame++) {
    if (frame % electionEvery !== 0) {
      yield { kind: 'node', index: (frame - 1 - turns) % nodes, term: 0 }
      continue
    }
    const index = turns++ % elections
    const term = (terms[index] ?? 0) + (turns % transferEvery === 0 ? 1 : 0)
    terms[index] = term
    yield { kind: 'election', index, term }
  }
}

/** As a kubelet writes it: the holder is the node, which owns the Lease. */
function writeNode({ metadata, spec }: Lease, index: number): Lease {
  const name = nameNode(index)
  const owners = metadata.ownerReferences?.map((owner) => ({ ...owner, name, uid: makeUid(1, index) }))
  return {
    metadata: { ...metadata, name, uid: makeUid(2, index), ownerReferences: owners } as Lease['metadata'],
    spec: { ...spec, holderIdentity: name },
  }
}

/** As client-go's leader election writes it. */
function writeElection({ metadata, spec }: Lease, index: number, term: number): Lease {
  const name = `controller-${index}`
  const holderIdentity = `${name}-6d4cf56db6-${String(term).padStart(5, '0')}_${makeUid(3, term)}`
  return {
    metadata: { ...metadata, name, uid: makeUid(4, index) } as Lease['metadata'],
    spec: { ...spec, holderIdentity, leaseTransitions: term },
  }
}

function writeFrame(shape: LeaseCluster['shape'], { metadata, spec }: Lease, version: string, time: string): string {
  const managedFields = metadata.managedFields.map((entry) => ({ ...entry, time: `${time.slice(0, 19)}Z` }))
  const object = {
    kind: 'Lease',
    apiVersion: 'coordination.k8s.io/v1',
    metadata: { ...metadata, resourceVersion: version, managedFields },
    spec: { ...spec, renewTime: time },
  }
  return `${JSON.stringify({ type: shape === 'initial' ? 'ADDED' : 'MODIFIED', object })}\n`
}

function readRecorded(name: string): Lease {
  const lines = readFileSync(new URL('../../recordings/leases-lifecycle.body', import.meta.url), 'utf8').split('\n')
  const line = lines.find((text) => text.startsWith('{"type":"MODIFIED"') && text.includes(`"name":"${name}"`))
  if (line === undefined) throw new Error(`no Lease ${name} was recorded`)
  return (JSON.parse(line) as { object: Lease }).object
}

function makeUid(kind: number, index: number): string {
  return `${String(kind).padStart(8, '0')}-0000-4000-8000-${index.toString(16).padStart(12, '0')}`
}

/** All six digits, as the API server writes a MicroTime. */
function formatMicroTime(start: number, µs: number): string {
  const whole = Math.floor(µs / 1e6)
  const rest = String(Math.floor(µs - whole * 1e6)).padStart(6, '0')
  return `${new Date(start + whole * 1000).toISOString().slice(0, 19)}.${rest}Z`
}
