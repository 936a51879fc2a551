import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createKeys } from '../../../shared/keys.ts'
import type { EndedTerm, LeaseData } from '../../../shared/lease.ts'
import { nameFeed, nameResource, parseResources } from '../../../shared/resource.ts'
import { createStateReader, type StatePage } from '../../../shared/state.ts'
import { startTestRedis } from '../../support/redis.ts'
import { type Child, startChild } from '../ingest/child.ts'
import { countTransfers, type LeaseCluster, nodeNamespace } from './cluster.ts'

/** `relay watch` and `relay serve` beside a Redis of their own, in sync with the server. */
export interface BenchedRelay {
  watcher: Child
  functions: Child
  storePid: number
  /** From the start of the watcher until everything was stored, in seconds. */
  coldStart: number
  /** The address of the API. */
  api: string
  /** Resolves when everything up to this resourceVersion is stored. */
  reach(version: number): Promise<void>
  /** Throws unless every renewal is accounted for, and the log has the real changes and nothing else. */
  check(renewals: LeaseCluster): Promise<void>
  stop(): Promise<void>
}

const [watched] = parseResources('leases?')
if (watched === undefined) throw new Error('nothing to watch')
const resource = nameResource(watched)
const feed = nameFeed(watched)
const keys = createKeys('bench')

/** Starts them. `leases`: how many there are at first. */
export async function startRelay(server: string, folder: string, leases: number): Promise<BenchedRelay> {
  const store = await startTestRedis({ appendfsync: 'everysec' })
  const redis = new Redis(store.url)
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(kubeconfig, describeServer(server))
  const common = ['--redis-url', store.url, '--cluster', 'bench', '--resources', 'leases?', '--log-level', 'warn']
  const began = performance.now()
  const watcher = startRole(['watch', ...common, '--kubeconfig', kubeconfig])
  const reach = async (version: number) => {
    while (Number((await redis.hget(keys.feed(feed), 'rv')) ?? 0) < version) {
      await Promise.race([sleep(5), watcher.failed])
    }
  }
  await reach(1)
  const coldStart = (performance.now() - began) / 1000
  const known = await redis.hlen(keys.objects(resource))
  if (known !== leases) throw new Error(`${leases} leases became ${known} known ones`)
  const functions = startChild('./functions.ts', [store.url, 'leases?'], profiling())
  const { about } = await functions.hear<{ type: 'ready'; about: { url: string } }>('ready')
  return {
    watcher,
    functions,
    coldStart,
    api: about.url,
    storePid: Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]),
    reach,
    check: (renewals) => check(redis, renewals),
    async stop() {
      await Promise.all([watcher.end(), functions.end()])
      redis.disconnect()
      await store.stop()
    },
  }
}

function startRole(args: string[]): Child {
  return startChild('../../../workers/relay.ts', args, profiling())
}

function profiling(): string[] {
  const folder = process.env.BENCH_PROFILE
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`]
}

function describeServer(server: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'bench',
    clusters: [{ name: 'bench', cluster: { server } }],
    users: [{ name: 'bench', user: {} }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
  })
}

async function check(redis: Redis, renewals: LeaseCluster): Promise<void> {
  const transfers = countTransfers(renewals)
  const events = Number((await redis.hget(keys.meta, 'seq')) ?? 0)
  if (events !== transfers) throw new Error(`${transfers} changes of holders became ${events} events`)
  const counted = await countRenewals(redis)
  const expected = renewals.frames - transfers
  if (counted !== expected) throw new Error(`${expected} renewals were counted as ${counted}`)
}

/** The renewals of all terms, those that are over too. */
async function countRenewals(redis: Redis): Promise<number> {
  const state = createStateReader(redis, keys)
  let sum = 0
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page: StatePage<LeaseData> = await state.page<LeaseData>(resource, {
      limit: 1000,
      ...(after === '' ? {} : { after }),
    })
    for (const { data } of page.objects) {
      sum += data.term?.renewals ?? 0
      if (data.namespace === nodeNamespace) continue
      for (const { term } of await state.terms<EndedTerm>(data.namespace, data.name)) sum += term.renewals
    }
    after = page.next
  }
  return sum
}
