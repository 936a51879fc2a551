import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createSandbox, type Sandbox } from '../../infra/sandbox/sandbox.ts'
import { createKeys } from '../../shared/keys.ts'
import type { LeaseData } from '../../shared/lease.ts'
import { renderSandboxKubeconfig } from '../../workers/commands/up/cluster.ts'
import { comparePodLog, type Fidelity } from '../support/fidelity.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { readCursor, readEvents, readKnown } from '../support/watcher.ts'
import { createRandom, type Random } from './random.ts'
import { startWatcherProcess, type WatcherProcess } from './watcher-process.ts'
import { startWorkload } from './workload.ts'

/** What is done to the processes. The first four are kills. */
const acts = {
  'kill the leader': 30,
  'kill a watcher': 20,
  'kill both watchers': 8,
  'kill Redis': 18,
  'freeze the leader': 8,
  'freeze a watcher': 6,
  'freeze Redis': 6,
  'compact while all are dead': 4,
} as const

export type Act = keyof typeof acts

type Range = readonly [from: number, to: number]

export interface TortureOptions {
  /** SIGKILLs, at least. */
  kills: number
  seed: number
  /** Changes per second in the cluster. */
  rate: number
  /** How long the kills take at least, in seconds: what is left after each is waited for. */
  seconds?: number | undefined
  /** Hears of the progress. */
  report?: (line: string) => void
}

export interface TortureResult {
  counts: Record<Act, number>
  kills: number
  changes: number
  seconds: number
  /** What compactions took away before anybody had read it, from one version to another. */
  certain: readonly Range[]
  fidelity: Fidelity
  /** Everything that breaks the promise, in words; empty when it was kept. */
  failures: string[]
}

const cluster = 'torture'
const resources = 'pods leases?'
const leases = 'leases.coordination.k8s.io'

/** Kills watchers and Redis at random points while a cluster lives on, and compares the log with what happened. */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const { report = () => undefined, seed } = options
  const began = Date.now()
  const random = createRandom(seed)
  const folder = await mkdtemp(join(tmpdir(), 'relay-torture-'))
  const sandbox = await createSandbox({
    world: false,
    keepHistory: true,
    seed,
    history: 50_000,
    bookmarkInterval: 1000,
  })
  const server = await startTestRedis()
  const redis = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50, socketTimeout: 5000 })
  redis.on('error', () => undefined)
  const kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, renderSandboxKubeconfig(sandbox.url))
  const start = () =>
    startWatcherProcess({
      KUBECONFIG: kubeconfig,
      REDIS_URL: server.url,
      RELAY_CLUSTER: cluster,
      RELAY_RESOURCES: resources,
      RELAY_TAKEOVER: '1s',
      RELAY_LOG_ENTRIES: '1000000000',
      RELAY_LOG_BYTES: '1024GiB',
    })
  const watchers: [WatcherProcess, WatcherProcess] = [start(), start()]
  try {
    const scene = { sandbox, server, redis, watchers, random, report }
    for (const resource of ['pods', 'leases?']) {
      await waitUntil(`the first sync of ${resource}`, async () => (await readCursor(redis, cluster, resource)) !== '')
    }
    const since = sandbox.store.resourceVersion
    const workload = startWorkload(sandbox, createRandom(seed + 1), options.rate)
    const { counts, kills, certain } = await strike(scene, options)
    workload.stop()
    report('the kills are over; waiting for the log')
    for (const watcher of watchers) process.kill(watcher.pid, 'SIGCONT')
    await server.kill('SIGCONT')
    const failures: string[] = watchers.flatMap(({ crashes }) => crashes.map((crash) => `a watcher crashed: ${crash}`))
    for (const [resource, plural] of [
      ['pods', 'pods'],
      ['leases?', 'leases'],
    ] as const) {
      const last = sandbox.store.history(plural).at(-1)?.resourceVersion ?? 0
      await waitUntil(
        `the log to reach ${plural} ${last}`,
        async () => Number(await readCursor(redis, cluster, resource)) >= last,
      ).catch((error: Error) => failures.push(error.message))
    }
    const [events, known] = await Promise.all([readEvents(redis, cluster), readKnown(redis, cluster, 'pods')])
    const fidelity = comparePodLog({ store: sandbox.store, since, events, known })
    for (const kind of ['lost', 'doubled', 'disordered', 'invented', 'wrongState'] as const) {
      const found = fidelity[kind]
      if (found.length > 0) failures.push(`${kind}: ${found.length}, such as ${found.slice(0, 5).join('; ')}`)
    }
    failures.push(...(await checkNumbers(redis)), ...(await checkLeases(redis, sandbox)))
    for (const [from, to] of certain) {
      const isAnnounced = fidelity.gaps.some(([start, end]) => start <= from && end >= to)
      if (!isAnnounced) failures.push(`the loss of ${from} to ${to} was not announced`)
    }
    const seconds = Math.round((Date.now() - began) / 1000)
    return { counts, kills, changes: workload.changes, seconds, certain, fidelity, failures }
  } finally {
    await Promise.all(watchers.map((watcher) => watcher.end()))
    redis.disconnect()
    await server.stop()
    await sandbox.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Scene {
  sandbox: Sandbox
  server: TestRedis
  redis: Redis
  watchers: [WatcherProcess, WatcherProcess]
  random: Random
  report: (line: string) => void
}

async function strike(scene: Scene, { kills: wanted, seconds = 0 }: TortureOptions) {
  const { random, redis, sandbox, server, watchers, report } = scene
  const counts = Object.fromEntries(Object.keys(acts).map((act) => [act, 0])) as Record<Act, number>
  const began = Date.now()
  let kills = 0
  const certain: Range[] = []

  const leader = async () => {
    const owner = (await redis.hget(createKeys(cluster).feed('/api/v1/pods'), 'owner')) ?? ''
    return watchers.find(({ pid }) => owner.includes(`-${pid}-`)) ?? watchers[0]
  }
  const perform: Record<Act, () => Promise<number>> = {
    'kill the leader': async () => {
      await (await leader()).kill()
      return 1
    },
    'kill a watcher': async () => {
      await random.pick(watchers).kill()
      return 1
    },
    'kill both watchers': async () => {
      await Promise.all(watchers.map((watcher) => watcher.kill()))
      return 2
    },
    'kill Redis': async () => {
      await server.kill('SIGKILL')
      await sleep(random.dice(300))
      await server.restart()
      return 1
    },
    'freeze the leader': async () => {
      ;(await leader()).freeze(200 + random.dice(3000))
      return 0
    },
    'freeze a watcher': async () => {
      random.pick(watchers).freeze(200 + random.dice(3000))
      return 0
    },
    'freeze Redis': async () => {
      await server.kill('SIGSTOP')
      await sleep(100 + random.dice(1200))
      await server.kill('SIGCONT')
      return 0
    },
    'compact while all are dead': async () => {
      await Promise.all(watchers.map((watcher) => watcher.end()))
      await sleep(200)
      const cursor = Number(await readCursor(redis, cluster, 'pods'))
      const last = sandbox.store.history('pods').at(-1)?.resourceVersion ?? 0
      sandbox.store.compact()
      if (cursor < last) certain.push([cursor, last])
      for (const watcher of watchers) watcher.start()
      return 2
    },
  }

  while (kills < wanted) {
    const act = chooseAct(random)
    kills += await perform[act]()
    counts[act]++
    // Half of the blows fall while the log is being written, the others wherever they happen to.
    if (random.dice(2) === 0) await progress(scene)
    await sleep(random.dice(400))
    const pace = (kills / wanted) * seconds * 1000 - (Date.now() - began)
    if (pace > 0) await sleep(pace)
    if (kills % 20 === 0) report(`${kills} kills, ${sandbox.store.history('pods').length} changes of pods`)
  }
  return { counts, kills, certain }
}

function chooseAct(random: Random): Act {
  const entries = Object.entries(acts) as [Act, number][]
  let left = random.dice(entries.reduce((sum, [, weight]) => sum + weight, 0))
  for (const [act, weight] of entries) {
    left -= weight
    if (left < 0) return act
  }
  return 'kill the leader'
}

/** Waits until the log has moved on, at most for a while: a blow may follow before anybody has recovered. */
async function progress({ redis }: Scene): Promise<void> {
  const before = await readCursor(redis, cluster, 'pods')
  const end = Date.now() + 6000
  while (Date.now() < end && (await readCursor(redis, cluster, 'pods')) === before) await sleep(20)
}

/** The log's numbers have no holes. */
async function checkNumbers(redis: Redis): Promise<string[]> {
  const { log, meta } = createKeys(cluster)
  const [first, last, length] = await Promise.all([redis.hget(meta, 'first'), redis.hget(meta, 'seq'), redis.xlen(log)])
  const expected = Number(last) - Number(first ?? 1) + 1
  return length === expected ? [] : [`the log has ${length} entries where its numbers say ${expected}`]
}

async function checkLeases(redis: Redis, sandbox: Sandbox): Promise<string[]> {
  const brief = (name: string, uid?: string, version?: string, holder?: unknown) =>
    `${name} ${uid} ${version} ${holder}`
  const real = sandbox.store
    .list('leases')
    .map(({ metadata, spec }) =>
      brief(
        `${metadata.namespace}/${metadata.name}`,
        metadata.uid,
        metadata.resourceVersion,
        (spec as { holderIdentity?: string }).holderIdentity,
      ),
    )
  const known = [...(await readKnown(redis, cluster, leases))].map(([key, data]) =>
    brief(key, data.uid, data.resourceVersion, (data as unknown as LeaseData).holder),
  )
  const missing = real.filter((one) => !known.includes(one))
  const extra = known.filter((one) => !real.includes(one))
  return [
    ...missing.map((one) => `the known leases lack ${one}`),
    ...extra.map((one) => `the known leases have ${one}`),
  ]
}

async function waitUntil(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 60_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await sleep(50)
  }
}
