import { Redis } from 'ioredis'
import { startTestRedis, type TestRedis } from './redis.ts'

/** A real Redis Cluster. */
export interface TestRedisCluster {
  /** Names two of the nodes; the others are found through them. */
  readonly url: string
  /** Three masters, each with a third of the slots, then replicas of the first ones. */
  readonly nodes: readonly TestRedis[]
  /** Moves a slot with its keys from one master to another, as a resharding does. */
  move(slot: number, from: number, to: number): Promise<void>
  stop(): Promise<void>
}

const slots = 16_384
const password = 'cluster'

/** Starts three masters and, if asked for, some replicas, and waits until all agree. */
export async function startTestRedisCluster({ replicas = 0 } = {}): Promise<TestRedisCluster> {
  const extraArgs = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--masterauth', password]
  // A failover must not wait for a replica that is said to be too old.
  extraArgs.push('--cluster-replica-validity-factor', '0', '--repl-diskless-sync-delay', '0')
  // The bus listens 10,000 above.
  const start = () => startTestRedis({ password, extraArgs, highestPort: 55_000 })
  const nodes = await Promise.all(Array.from({ length: 3 + replicas }, start))
  const clients = nodes.map(({ url }) => new Redis(url))
  try {
    const ids: string[] = []
    for (const [n, client] of clients.entries()) {
      ids.push(String(await client.call('CLUSTER', 'MYID')))
      await client.call('CLUSTER', 'SET-CONFIG-EPOCH', n + 1)
      const own = Array.from({ length: slots }, (_, slot) => slot).filter(
        (slot) => Math.floor((slot * 3) / slots) === n,
      )
      if (own.length > 0) await client.call('CLUSTER', 'ADDSLOTS', ...own)
      if (n > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]?.port ?? 0)
    }
    await until(async () => (await countKnown(clients)).every((count) => count === nodes.length))
    for (let n = 0; n < replicas; n++) {
      const replica = clients[3 + n]
      await until(async () => {
        await replica?.call('CLUSTER', 'REPLICATE', ids[n] ?? '')
        return true
      })
      await until(async () => String(await replica?.info('replication')).includes('master_link_status:up'))
    }
    await until(async () => {
      const infos = await Promise.all(clients.map((client) => client.cluster('INFO')))
      return infos.every((info) => info.includes('cluster_state:ok'))
    })
  } finally {
    for (const client of clients) client.disconnect()
  }
  const hosts = nodes.slice(0, 2).map(({ port }) => `127.0.0.1:${port}`)
  return {
    url: `redis+cluster://:${password}@${hosts.join(',')}`,
    nodes,
    async move(slot, from, to) {
      const [source, target] = [from, to].map((n) => new Redis(nodes[n]?.url ?? ''))
      if (source === undefined || target === undefined) return
      try {
        const [sourceId, targetId] = await Promise.all([source, target].map((node) => node.call('CLUSTER', 'MYID')))
        await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', String(sourceId))
        await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', String(targetId))
        const place = ['127.0.0.1', nodes[to]?.port ?? 0, '', 0, 5000, 'AUTH', password, 'KEYS']
        for (let keys = ['']; keys.length > 0; ) {
          keys = (await source.call('CLUSTER', 'GETKEYSINSLOT', slot, 1)) as string[]
          if (keys.length > 0) await source.call('MIGRATE', ...place, ...keys)
        }
        for (const node of [target, source]) await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', String(targetId))
      } finally {
        source.disconnect()
        target.disconnect()
      }
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

async function countKnown(clients: readonly Redis[]): Promise<number[]> {
  const lists = await Promise.all(clients.map((client) => client.call('CLUSTER', 'NODES')))
  return lists.map(
    (list) =>
      String(list)
        .trim()
        .split('\n')
        .filter((line) => !line.includes('handshake')).length,
  )
}

/** Repeats until it answers true, errors meanwhile included. */
async function until(isDone: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  let failure: unknown
  while (Date.now() < end) {
    try {
      if (await isDone()) return
    } catch (error) {
      failure = error
    }
    await new Promise((resolve) => setTimeout(resolve, 30))
  }
  throw new Error('the test cluster did not come together', { cause: failure })
}
