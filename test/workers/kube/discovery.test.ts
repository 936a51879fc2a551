import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startServe } from '../../../functions/node.ts'
import { createSandbox, defineResource, type Sandbox, type SandboxOptions } from '../../../infra/sandbox/sandbox.ts'
import { readConfig } from '../../../shared/config.ts'
import { createKeys } from '../../../shared/keys.ts'
import { nameFeed, parseConfigured, type WatchedResource } from '../../../shared/resource.ts'
import type { Logger } from '../../../shared/role.ts'
import { startWatch } from '../../../workers/commands/watch.ts'
import { createKubeClient } from '../../../workers/kube/client.ts'
import { discover } from '../../../workers/kube/discovery.ts'
import { findResource } from '../../../workers/kube/find-resource.ts'
import { createResolver } from '../../../workers/kube/resolver.ts'
import { createFastClock } from '../../support/fast-clock.ts'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { type Script, sendJson, startScriptedServer } from '../../support/scripted-server.ts'
import { readEvents } from '../../support/watcher.ts'

const custom = [
  defineResource({ group: 'example.com', plural: 'widgets', kind: 'Widget', shortNames: ['wd'] }),
  defineResource({ group: 'example.com', plural: 'indices', kind: 'Index' }),
  defineResource({ group: 'other.example.com', version: 'v1beta1', plural: 'widgets', kind: 'Widget' }),
]

let server: TestRedis
let redis: Redis
let folder: string
let ends: (() => unknown)[]
let lines: string[]
let runs = 0
let cluster: string

beforeAll(async () => {
  server = await startTestRedis()
  redis = new Redis(server.url)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-discovery-'))
  cluster = `d${++runs}`
  ends = [() => rm(folder, { recursive: true })]
  lines = []
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
})

const log: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: (_, message) => void lines.push(`warn ${message}`),
  error: (_, message) => void lines.push(`error ${message}`),
  child: () => log,
}

async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await createSandbox({ world: false, resources: custom, ...options })
  ends.push(() => sandbox.stop())
  return sandbox
}

function createClient(url: string) {
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server: url, skipTLSVerify: true }, { name: 'u' })
  const client = createKubeClient(config, 'test')
  ends.push(() => client.close())
  return client
}

async function configure(sandbox: Sandbox, resources: string, token?: string) {
  const kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, sandbox.kubeconfig())
  const env = {
    KUBECONFIG: kubeconfig,
    RELAY_CONTEXT: token,
    RELAY_RESOURCES: resources,
    REDIS_URL: server.url,
    PORT: '0',
  }
  const checks = { resources: parseConfigured }
  const config = readConfig({ ...env, RELAY_CLUSTER: cluster, WEBHOOK_SECRET_KEY: 'k'.repeat(43) }, {}, checks)
  return { ...config, cluster, redisUrl: server.url }
}

async function watch(sandbox: Sandbox, resources: string, token?: string): Promise<void> {
  const running = await startWatch(await configure(sandbox, resources, token), log)
  ends.push(() => running.stop())
}

async function statusOf(feed: string): Promise<{ state?: string; reason?: string }> {
  return JSON.parse((await redis.hget(createKeys(cluster).own('status'), feed)) ?? '{}')
}
const synced = (feed: string) =>
  expect.poll(async () => (await statusOf(feed)).state, { timeout: 15_000 }).toBe('synced')

const only = (text: string) => parseConfigured(text)[0] as WatchedResource
const signal = AbortSignal.timeout(60_000)

describe('discovery', () => {
  it.each([
    ['widgets', '/apis/example.com/v1/widgets'],
    ['wd', '/apis/example.com/v1/widgets'],
    ['widget?namespace=a', '/apis/example.com/v1/namespaces/a/widgets'],
    ['other.example.com/v1beta1/widgets', '/apis/other.example.com/v1beta1/widgets'],
    ['leases?', '/apis/coordination.k8s.io/v1/leases'],
  ])('finds %s', async (text, feed) => {
    const sandbox = await startSandbox()
    const finding = findResource(await discover(createClient(sandbox.url), signal), only(text))
    expect('found' in finding && nameFeed(finding.found)).toBe(feed)
  })

  it.each([
    ['pots', 'the server has no pots. Did you mean pods?'],
    ['v1/pod', 'the server has no v1/pod. Did you mean v1/pods?'],
    ['example.com/v2/widgets', 'the server has no example.com/v2/widgets. Did you mean example.com/v1/widgets?'],
    ['apps/v1/widgets', 'the server has no apps/v1/widgets. Did you mean example.com/v1/widgets?'],
    ['deployments', 'the server has no apps/v1/deployments.'],
    ['xylophones', 'the server has no xylophones.'],
    ['v1/bindings', 'v1/bindings cannot be watched: the server has no list and watch for it.'],
    ['nodes?namespace=a', 'v1/nodes is in no namespace: leave out namespace=a.'],
  ])('says what is wrong with %s', async (text, problem) => {
    const sandbox = await startSandbox()
    expect(findResource(await discover(createClient(sandbox.url), signal), only(text))).toEqual({ problem })
  })

  it('reads servers that tell group by group, the preferred version first, and does without a group that is down', async () => {
    const sandbox = await startSandbox()
    const whole = await discover(createClient(sandbox.url), signal)
    const script: Script = async ({ path }, response) => {
      if (path === '/apis/example.com/v1') return void response.writeHead(503).end()
      const answer = await fetch(`${sandbox.url}${path}`, { headers: { accept: 'application/json' } })
      sendJson(response, answer.status, await answer.json())
    }
    const old = await startScriptedServer(script)
    ends.push(() => old.stop())
    const name = ({ group, version, resource }: { group: string; version: string; resource: string }) =>
      `${group}/${version}/${resource}`
    const expected = whole.filter(({ group }) => group !== 'example.com')
    const found = await discover(createClient(old.url), signal)
    expect(found.map(name).toSorted()).toEqual(expected.map(name).toSorted())
    expect(found.find(({ resource }) => resource === 'leases')).toEqual(
      whole.find(({ resource }) => resource === 'leases'),
    )
  })
})

describe('a watcher', () => {
  it('watches what the server explains, under the kind that the server names, and serving knows it too', async () => {
    const sandbox = await startSandbox()
    await watch(sandbox, 'pods,indices')
    const feed = '/apis/example.com/v1/indices'
    await synced(feed)
    sandbox.store.put('indices', { metadata: { name: 'i', namespace: 'shop' } })
    await expect
      .poll(async () => (await readEvents(redis, cluster)).map(({ type, subject }) => `${type} ${subject}`))
      .toEqual(['k8s.index.added shop/i'])
    const serving = await startServe(await configure(sandbox, 'pods,indices'), log)
    ends.push(() => serving.stop())
    const ready = async () =>
      (await (await fetch(`${serving.about.url}/readyz`)).json()) as { ready: boolean; feeds: object }
    await expect.poll(async () => (await ready()).ready, { timeout: 10_000 }).toBe(true)
    expect(Object.keys((await ready()).feeds).toSorted()).toEqual(['/api/v1/pods', feed])
  })

  it('says once that a name means nothing, is degraded for it, and goes on with the others', async () => {
    const sandbox = await startSandbox()
    await watch(sandbox, 'pods,pots')
    await synced('/api/v1/pods')
    const problem = 'the server has no pots. Did you mean pods?'
    await expect.poll(() => statusOf('pots')).toMatchObject({ state: 'degraded', reason: problem })
    expect(lines.filter((line) => line.startsWith('error'))).toEqual([`error RELAY_RESOURCES: ${problem}`])
  })

  it('R65 says what is missing where a usual resource is not there', async () => {
    const sandbox = await startSandbox()
    await watch(sandbox, 'deployments')
    const reason = 'the server has no apps/v1/deployments.'
    await expect.poll(() => statusOf('/apis/apps/v1/deployments')).toMatchObject({ state: 'degraded', reason })
  })

  it('R65 watches single namespaces where it may not watch the whole cluster, and says how', async () => {
    const sandbox = await startSandbox({ tokens: { ann: { username: 'ann' } } })
    for (const namespace of ['blog', 'shop']) {
      const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] }]
      sandbox.store.put('roles', { metadata: { name: 'r', namespace }, rules })
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' }
      const subjects = [{ kind: 'User', name: 'ann' }]
      sandbox.store.put('rolebindings', { metadata: { name: 'b', namespace }, subjects, roleRef })
    }
    await watch(sandbox, 'pods?namespace=shop pods?namespace=blog leases', 'ann')
    for (const namespace of ['blog', 'shop']) await synced(`/api/v1/namespaces/${namespace}/pods`)
    for (const namespace of ['blog', 'shop', 'other']) sandbox.store.put('pods', { metadata: { name: 'a', namespace } })
    await expect
      .poll(async () => (await readEvents(redis, cluster)).map(({ subject }) => subject).toSorted())
      .toEqual(['blog/a', 'shop/a'])
    const leases = await statusOf(nameFeed(only('leases')))
    expect(leases.state).toBe('degraded')
    expect(leases.reason).toContain('cannot watch resource "leases" in API group "coordination.k8s.io"')
    expect(leases.reason).toContain('A ClusterRole has to allow list and watch on leases')
    expect(leases.reason).toContain("RELAY_RESOURCES='leases?namespace=a leases?namespace=b'")
  })
})

describe('a name that the server does not have yet', () => {
  it('is looked for until it does, over a server that is not there at first', async () => {
    let served = false
    const sandbox = await startSandbox()
    const script: Script = async ({ path, headers }, response) => {
      const target = served ? sandbox.url : bare.url
      const answer = await fetch(`${target}${path}`, { headers: { accept: headers.accept ?? '' } })
      sendJson(response, answer.status, await answer.json())
    }
    const bare = await startSandbox({ resources: [] })
    const front = await startScriptedServer(script)
    ends.push(() => front.stop())
    const said: (string | undefined)[] = []
    const resolver = createResolver({
      client: createClient(front.url),
      log,
      clock: createFastClock(200),
      report: (_, problem) => void said.push(problem),
    })
    const resolved = resolver.resolve(only('widgets'), signal)
    await expect.poll(() => said.length).toBeGreaterThan(1)
    served = true
    expect(await resolved).toMatchObject({ group: 'example.com', version: 'v1', kind: 'widget' })
    expect([said[0], said.at(-1)]).toEqual(['the server has no widgets.', undefined])
    expect(lines).toEqual(['error RELAY_RESOURCES: the server has no widgets.'])
  })

  it('needs its group and version where discovery is forbidden; with them it is watched', async () => {
    const front = await startScriptedServer((_, response) => sendJson(response, 403, { kind: 'Status' }))
    ends.push(() => front.stop())
    const stop = new AbortController()
    const said: (string | undefined)[] = []
    const resolver = createResolver({ client: createClient(front.url), log, report: (_, text) => void said.push(text) })
    expect(await resolver.resolve(only('example.com/v1/widgets'), signal)).toMatchObject({
      version: 'v1',
      kind: 'widget',
    })
    const resolved = resolver.resolve(only('widgets'), stop.signal)
    await expect.poll(() => said.at(-1)).toContain('needs its group and version')
    stop.abort()
    expect(await resolved).toBeUndefined()
  })
})
