import { spawnSync } from 'node:child_process'
import type { Redis } from 'ioredis'
import { createKeys } from '../../shared/keys.ts'
import type { LeaseData } from '../../shared/lease.ts'
import { type Bench, type BenchOptions, median, type Row } from './bench.ts'
import { type Child, startChild } from './ingest/child.ts'
import { type Contender, createPeer, createRelay, kubectl, type Race, type Score } from './ingest/contenders.ts'
import type { Order } from './ingest/file-server.ts'
import { measureLatency } from './ingest/latency.ts'
import { measureState } from './ingest/state.ts'
import type { Workload } from './ingest/workload.ts'

const firstVersion = 2_000_000_000
/** The official limit of nodes, each with its Lease. */
const leases = 5000
const repetitions = 3

/** Frames from a local server into the durable log; beside it, others that read the same frames. */
export const ingest: Bench = {
  name: 'ingest',
  describe: 'watch frames into the durable log, beside a bare parse, the informer of client-node, and kubectl',
  async *run(options) {
    const server = startChild('file-server.ts', [])
    try {
      const { port } = await server.hear<{ type: 'listening'; port: number }>('listening')
      const url = `http://127.0.0.1:${port}`
      yield* race(server, url, options, 'pods', 20_000, checkPods)
      yield* race(server, url, options, 'leases', 100_000, checkLeases)
      if ('latency'.includes(options.only)) yield* measureLatency(server, url, tell)
      if ('state'.includes(options.only)) yield* measureState(server, url, tell)
    } finally {
      await server.end()
    }
  },
}

async function tell(server: Child, order: Order): Promise<void> {
  const done = server.hear('done')
  server.send(order)
  await done
}

async function* race(
  server: Child,
  url: string,
  { seconds, only }: BenchOptions,
  kind: Workload['kind'],
  perSecond: number,
  check: (redis: Redis, race: Race) => Promise<void>,
): AsyncGenerator<Row> {
  if (!kind.includes(only)) return
  const frames = Math.ceil((seconds * perSecond) / leases) * leases
  const workload: Workload =
    kind === 'pods'
      ? { kind, shape: 'lifecycle', objects: frames, frames, firstVersion }
      : { kind, shape: 'renewals', objects: leases, frames, firstVersion }
  await tell(server, { type: 'changes', workload })
  const contenders: Record<string, Contender> = {
    everysec: createRelay('everysec', check),
    'bare-parse': createPeer('bare-parse'),
    always: createRelay('always', check),
    'client-node-informer': createPeer('client-node-informer'),
  }
  if (kind === 'pods' && spawnSync('kubectl', ['version', '--client']).error === undefined) contenders.kubectl = kubectl
  const scores = new Map<string, Score[]>(Object.keys(contenders).map((name) => [name, []]))
  // All in turn, again and again: what else the machine does meanwhile falls on each of them alike.
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [name, contend] of Object.entries(contenders)) {
      await tell(server, { type: 'rewind' })
      const go = () => tell(server, { type: 'go' })
      const lastVersion = firstVersion + frames - 1
      const resources = kind === 'leases' ? 'leases?' : kind
      scores.get(name)?.push(await contend({ server: url, resources, frames, lastVersion, go }))
    }
  }
  yield* compare(kind, 'frames/s', scores, ({ speed }) => speed)
  yield* compare(`${kind}, processor`, 'µs/frame', scores, ({ cpu }) => cpu)
}

/** A row for each contender; the relay's own are no peers. */
function* compare(
  what: string,
  unit: string,
  scores: ReadonlyMap<string, Score[]>,
  read: (score: Score) => number,
): Generator<Row> {
  const medians = [...scores].map(([name, all]) => [name, median(all.map(read))] as const)
  const peers = medians.filter(([name]) => name !== 'everysec' && name !== 'always')
  for (const [name, value] of medians) {
    const isPeer = peers.some(([peer]) => peer === name)
    const others = peers.filter(([peer]) => peer !== name)
    const ratios = Object.fromEntries(others.map(([peer, figure]) => [peer, value / figure]))
    yield { case: isPeer ? `${what}: ${name}` : `${what}: log, AOF ${name}`, value, unit, ratios }
  }
}

/** One event in the log for each frame. */
async function checkPods(redis: Redis, { frames }: Race): Promise<void> {
  const events = Number(await redis.hget(createKeys('bench').meta, 'seq'))
  if (events !== frames) throw new Error(`${frames} frames became ${events} events`)
}

/** One event for each Lease's first frame, and every other frame counted as a renewal of its term. */
async function checkLeases(redis: Redis, { frames }: Race): Promise<void> {
  const keys = createKeys('bench')
  const events = Number(await redis.hget(keys.meta, 'seq'))
  const records = await redis.hvals(keys.objects('leases.coordination.k8s.io'))
  const counted = records
    .map((record) => JSON.parse(record.slice(record.indexOf(' '))) as LeaseData)
    .reduce((sum, { term }) => sum + 1 + (term?.renewals ?? 0), 0)
  if (events !== leases || counted !== frames)
    throw new Error(`${frames} frames became ${events} events, ${counted} renewals`)
}
