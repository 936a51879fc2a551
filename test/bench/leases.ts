import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bench, type BenchOptions, median, type Row } from './bench.ts'
import { type Child, startChild } from './ingest/child.ts'
import type { Order } from './ingest/file-server.ts'
import { nameNode, nodeNamespace } from './leases/cluster.ts'
import { ask } from './leases/queries.ts'
import { startRelay } from './leases/relay.ts'
import { readProcessorTime } from './processor.ts'

/** The largest cluster that was published; each kubelet renews its Lease every ten seconds. */
const [nodes, rate] = [130_000, 13_000]
/** Leaders renew every two seconds, as client-go does; one of them changes each second. */
const [elections, electionEvery, transferEvery] = [100, 260, 50]
const cluster = { kind: 'lease-cluster', nodes, elections, electionEvery, transferEvery, rate } as const
/** How much of a core the watcher may take, in percent. */
const goal = 25
const repetitions = 3
const firstVersion = 2_000_000_000

/** What the Leases of a very large cluster cost in the processes that production runs, and how fast they are told meanwhile. */
export const leases: Bench = {
  name: 'leases',
  describe: '13,000 renewals a second of 130,000 Leases through relay watch, and queries to relay serve meanwhile',
  async *run(options) {
    const server = startChild('file-server.ts', [])
    const folder = mkdtempSync(join(tmpdir(), 'bench-leases-'))
    try {
      const { port } = await server.hear<{ type: 'listening'; port: number }>('listening')
      const url = `http://127.0.0.1:${port}`
      yield* measure(server, url, folder, options)
    } finally {
      await server.end()
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

async function* measure(
  server: Child,
  url: string,
  folder: string,
  { seconds, only }: BenchOptions,
): AsyncGenerator<Row> {
  // With the standard two seconds, each node renews once in a round.
  const perRound = Math.ceil(seconds * 5) * rate
  const first = { ...cluster, shape: 'initial', frames: nodes + elections, firstVersion: 1_000_000_000 } as const
  const renewals = { ...cluster, shape: 'renewals', frames: perRound * (repetitions + 1), firstVersion } as const
  await tell(server, { type: 'initial', workload: first })
  await tell(server, { type: 'changes', workload: renewals })

  const peers: Record<string, number> = {}
  for (const name of ['bare-parse', 'client-node-informer']) {
    peers[name] = await measurePeer(name, server, url, perRound)
    await tell(server, { type: 'rewind' })
  }

  const relay = await startRelay(url, folder, nodes + elections)
  try {
    yield { case: '130,000 leases: cold start', value: relay.coldStart, unit: 's', ratios: {} }
    const shares: number[] = []
    const storeShares: number[] = []
    for (let round = 1; round <= repetitions; round++) {
      const [used, storeUsed] = [readProcessorTime(relay.watcher.pid), readProcessorTime(relay.storePid)]
      await tell(server, { type: 'pace', frames: perRound, rate })
      await relay.reach(firstVersion + round * perRound - 1)
      shares.push(share(readProcessorTime(relay.watcher.pid) - used, perRound))
      storeShares.push(share(readProcessorTime(relay.storePid) - storeUsed, perRound))
    }
    const value = median(shares)
    const compare = ([name, peer]: [string, number]) => [name, value / peer]
    const ratios = { goal: value / goal, ...Object.fromEntries(Object.entries(peers).map(compare)) }
    yield { case: '13,000 renewals/s: relay watch', value, unit: '% of core', ratios }
    for (const [name, peer] of Object.entries(peers)) {
      yield { case: `13,000 renewals/s: ${name}`, value: peer, unit: '% of core', ratios: {} }
    }
    yield { case: '13,000 renewals/s: its Redis', value: median(storeShares), unit: '% of core', ratios: {} }
    let sent = perRound * repetitions
    if ('queries'.includes(only)) {
      const done = tell(server, { type: 'pace', frames: perRound, rate })
      yield* measureQueries(relay.api, relay.functions.pid, seconds)
      await done
      sent += perRound
    }
    await relay.reach(firstVersion + sent - 1)
    await relay.check({ ...renewals, frames: sent })
  } finally {
    await relay.stop()
  }
}

/** Processor time for some renewals, as a share of the time in which they come, in percent. */
function share(µs: number, frames: number): number {
  return (µs / 1e6 / (frames / rate)) * 100
}

/** What one of the peers in `ingest/peer.ts` takes for the same frames. */
async function measurePeer(name: string, server: Child, url: string, frames: number): Promise<number> {
  const path = '/apis/coordination.k8s.io/v1/leases'
  const child = startChild('peer.ts', [name, url, path, String(frames)])
  try {
    // Long enough to be connected; a reader that comes late still gets every frame.
    await sleep(1500)
    const finished = child.hear('finished')
    const used = readProcessorTime(child.pid)
    await tell(server, { type: 'pace', frames, rate })
    await finished
    return share(readProcessorTime(child.pid) - used, frames)
  } finally {
    await child.end()
  }
}

/** Queries while the renewals go on; beside them, the least that the same process answers. */
async function* measureQueries(api: string, pid: number, seconds: number): AsyncGenerator<Row> {
  const anyNode = (turn: number) => nameNode((turn * 7919) % nodes)
  const paths: Record<string, (turn: number) => string> = {
    'GET /healthz': () => '/healthz',
    'GET one lease': (turn) => `/v1/leases/${nodeNamespace}/${anyNode(turn)}`,
    'GET 100 leases of a namespace': () => `/v1/leases?namespace=${nodeNamespace}&limit=100`,
    'GET what one node holds': (turn) => `/v1/holders/${anyNode(turn)}`,
  }
  let limit = 0
  for (const [name, path] of Object.entries(paths)) {
    // Once unmeasured, so that what runs first does not pay for all.
    await ask(api, seconds / 4, path)
    const used = readProcessorTime(pid)
    const { count, perSecond, p99 } = await ask(api, seconds, path)
    const cost = (readProcessorTime(pid) - used) / count
    limit ||= perSecond
    const ratios = perSecond === limit ? {} : { healthz: perSecond / limit }
    yield { case: name, value: perSecond, unit: 'req/s', ratios }
    yield { case: `${name}: processor`, value: cost, unit: 'µs/req', ratios: {} }
    yield { case: `${name}: p99`, value: p99, unit: 'ms', ratios: {} }
  }
}

async function tell(server: Child, order: Order): Promise<void> {
  const done = server.hear('done')
  server.send(order)
  await done
}
