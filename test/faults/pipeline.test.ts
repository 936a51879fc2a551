import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { startServe } from '../../functions/node.ts'
import { readConfig } from '../../shared/config.ts'
import type { Logger, Running } from '../../shared/role.ts'
import { startDeliver } from '../../workers/commands/deliver.ts'
import { renderSandboxKubeconfig } from '../../workers/commands/up/cluster.ts'
import { startWatch } from '../../workers/commands/watch.ts'
import { listen } from '../functions/serving.ts'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { readCursor } from '../support/watcher.ts'
import { startReceiver } from '../workers/deliverer/receiver.ts'
import { setStage } from './stage.ts'

const stage = setStage()
const nothing = () => undefined
const silent: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silent,
}

/** The roles as they run in production, each with a network of its own to Redis. */
async function startRoles() {
  const folder = await mkdtemp(join(tmpdir(), 'relay-faults-'))
  stage.onEnd(() => rm(folder, { recursive: true }))
  const kubeconfig = join(folder, 'kubeconfig')
  const networks: FaultProxy[] = []
  const reach = async (url: string) => {
    const proxy = await startFaultProxy(url)
    networks.push(proxy)
    stage.onEnd(() => proxy.stop())
    return proxy.url
  }
  await writeFile(kubeconfig, renderSandboxKubeconfig(await reach(stage.sandbox.url)))
  const configure = async () => {
    const env = {
      KUBECONFIG: kubeconfig,
      RELAY_CLUSTER: stage.cluster,
      RELAY_RESOURCES: 'pods',
      RELAY_DATA: folder,
      REDIS_URL: await reach(stage.server.url),
      PORT: '0',
      WEBHOOK_ALLOW_HTTP: 'true',
      WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8',
      WEBHOOK_SECRET_KEY: 'k'.repeat(43),
    }
    const config = readConfig(env)
    return { ...config, cluster: stage.cluster, redisUrl: env.REDIS_URL }
  }
  const keep = (running: Running) => {
    stage.onEnd(() => running.stop())
    return running
  }
  keep(await startWatch(await configure(), silent))
  const serving = keep(await startServe(await configure(), silent))
  keep(await startDeliver(await configure(), silent))
  return { url: serving.about.url ?? '', networks }
}

it('brings each event to a subscriber once, and to a webhook, whatever happens to the networks in between', async () => {
  const { url, networks } = await startRoles()
  await expect.poll(() => readCursor(stage.redis, stage.cluster, 'pods'), { timeout: 20_000 }).not.toBe('')
  const receiver = await startReceiver()
  stage.onEnd(() => receiver.close())
  const answer = await fetch(`${url}/v1/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: receiver.url }),
  })
  expect(answer.status).toBe(201)
  const subscriber = listen(url, '?from=start')
  stage.onEnd(() => subscriber.close())

  const each = (act: (network: FaultProxy) => unknown) => Promise.all(networks.map(act))
  for (let round = 0; round < 4; round++) {
    await stage.stir(20)
    await each((network) => network.set({ sliceBytes: 1 + round * 50, delayMs: round }))
    await stage.stir(20)
    await each((network) => network.reset())
    await stage.stir(10)
    await each((network) => network.halfClose())
    await stage.stir(10)
    await each((network) => network.heal())
  }
  await each((network) => network.set({ refuse: true }))
  await each((network) => network.reset())
  await stage.stir(20)
  await sleep(300)
  await each((network) => network.heal())
  await stage.stir(20)

  const seen = () => subscriber.messages.filter(({ type }) => type === 'message').map(({ data }) => data.id)
  const delivered = () => new Set(receiver.received.map(({ body }) => (JSON.parse(body) as { id: string }).id))
  const arrived = async () => {
    const { told } = await stage.verify()
    const ids = (await stage.events()).map(({ id }) => id)
    expect(ids.length).toBe(told)
    await expect.poll(() => seen().length, { timeout: 40_000 }).toBeGreaterThanOrEqual(ids.length)
    expect(seen()).toEqual(ids)
    await expect.poll(() => delivered().size, { timeout: 40_000 }).toBe(ids.length)
  }
  await arrived()
  // Connections that no longer carry anything, and do not say so, are given up by whoever holds them.
  const toRedis = networks.slice(1, 3)
  const before = toRedis.map(({ accepted }) => accepted)
  for (const network of toRedis) network.freeze()
  await stage.stir(20)
  await arrived()
  expect(toRedis.every(({ accepted }, n) => accepted > (before[n] ?? 0))).toBe(true)
}, 120_000)
