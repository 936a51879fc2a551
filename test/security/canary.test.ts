import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createSandbox, defineResource, type Sandbox } from '../../infra/sandbox/sandbox.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { awaitSummary, type RelayProcess, startRelay } from '../workers/relay-process.ts'
import { dumpRedis, findCanaries, plantConfigMap, plantCustom, plantPod } from './secrets.ts'

let folder: string
let sandbox: Sandbox
let server: TestRedis
let redis: Redis
let relay: RelayProcess
let receiver: { url: string; bodies: string[]; stop(): void }

const widgets = defineResource({ group: 'example.com', plural: 'widgets', kind: 'Widget' })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-canary-'))
  sandbox = await createSandbox({ world: false, resources: [widgets] })
  await writeFile(join(folder, 'kubeconfig'), sandbox.kubeconfig())
  server = await startTestRedis()
  redis = new Redis(server.url)
  receiver = await receive()
})

afterEach(async () => {
  relay.child.kill('SIGTERM')
  await relay.exited
  receiver.stop()
  redis.disconnect()
  await server.stop()
  await sandbox.stop()
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** An endpoint that refuses each first delivery, so that a retry is on record. */
async function receive(): Promise<typeof receiver> {
  const bodies: string[] = []
  const http = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    bodies.push(Buffer.concat(chunks).toString())
    response.writeHead(bodies.length === 1 ? 500 : 200).end()
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const stop = () => {
    http.closeAllConnections()
    http.close()
  }
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/`, bodies, stop }
}

type Stored = Parameters<Sandbox['store']['put']>[1]

function put(resource: string, object: { metadata: { name: string; namespace: string } }): void {
  const { name, namespace } = object.metadata
  const old = sandbox.store.get(resource, namespace, name)
  const metadata = { ...(old?.metadata ?? {}), ...object.metadata }
  sandbox.store.put(resource, { ...object, metadata } as unknown as Stored)
}

/** Lets the planted objects go every way that there is, and answers with what came out at each end. */
async function collect(resources: string): Promise<Record<string, string>> {
  put('pods', plantPod('before', 'Pending'))
  relay = startRelay(['up', '--port', '0'], {
    KUBECONFIG: join(folder, 'kubeconfig'),
    REDIS_URL: server.url,
    RELAY_DATA: join(folder, 'data'),
    RELAY_RESOURCES: resources,
    LOG_LEVEL: 'trace',
    WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8',
    WEBHOOK_ALLOW_HTTP: 'true',
  })
  const url = await awaitSummary(relay)
  const read = async (path: string, accept = '*/*') =>
    (await fetch(`${url}${path}`, { headers: { accept }, signal: AbortSignal.timeout(10_000) })).text()
  await fetch(`${url}/v1/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: receiver.url }),
  })
  await expect.poll(() => read('/readyz'), { timeout: 30_000 }).toContain('"ready":true')

  put('pods', plantPod('live', 'Pending'))
  put('pods', plantPod('live', 'Running'))
  put('pods', plantPod('before', 'Running'))
  put('configmaps', plantConfigMap('settings'))
  put('widgets.example.com', plantCustom('odd'))
  sandbox.store.remove('pods', 'shop', 'live')
  const page = () => read('/v1/events?from=start&limit=1000', 'application/json')
  for (const last of ['k8s.pod.deleted', 'k8s.configmap.added', 'k8s.widget.added']) {
    await expect.poll(page, { timeout: 20_000 }).toContain(last)
    await expect.poll(() => receiver.bodies.join(), { timeout: 30_000 }).toContain(last)
  }

  const paths = ['/', '/readyz', '/healthz', '/openapi.json', '/v1/pods', '/v1/pods/shop/before', '/v1/leases']
  const refused = ['/v1/events?from=never', '/v1/pods?labelSelector=((', '/v1/pods/shop/gone', '/v1/nothing']
  return {
    events: await page(),
    batch: await read('/v1/events?from=start&limit=1000', 'application/cloudevents-batch+json'),
    stream: await readStream(`${url}/v1/events?from=start`, 'text/event-stream', 'pod.deleted'),
    lines: await readStream(`${url}/v1/events?from=start`, 'application/x-ndjson', 'pod.deleted'),
    snapshot: await readStream(`${url}/v1/events?from=state`, 'text/event-stream', 'shop/before'),
    state: (await Promise.all(paths.map((path) => read(path)))).join('\n'),
    errors: (await Promise.all(refused.map((path) => read(path)))).join('\n'),
    webhooks: receiver.bodies.join('\n'),
    deliveries: await read('/v1/webhooks'),
    logs: relay.stdout() + relay.stderr(),
    redis: await dumpRedis(redis),
  }
}

/** Reads a stream until it has told of something. */
async function readStream(url: string, accept: string, last: string): Promise<string> {
  const { body } = await fetch(url, { headers: { accept }, signal: AbortSignal.timeout(10_000) })
  let text = ''
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    if (text.includes(last)) break
  }
  return text
}

it('lets no planted secret out by any way', async () => {
  const found = await collect('pods leases v1/configmaps example.com/v1/widgets')
  for (const [way, text] of Object.entries(found)) expect([way, findCanaries(text)]).toEqual([way, []])
  // They did pass by here.
  expect(found.events).toContain('"restarted"')
  expect(found.events).toContain('k8s.configmap.added')
  expect(found.logs).toContain('"level":"debug"')
}, 120_000)

it('redacts whole objects all the same, and keeps them out of everything but events', async () => {
  const found = await collect('pods?object=full v1/configmaps?object=full example.com/v1/widgets?object=full')
  for (const [way, text] of Object.entries(found)) {
    // The name of a Secret that a Pod pulls its images with is part of the whole Pod, as the Secret itself is not.
    expect([way, findCanaries(text.replaceAll('canary-pullsecret', ''))]).toEqual([way, []])
  }
  expect(found.events).toContain('"env":[{"name":"TOKEN","value":"[redacted]"}')
  expect(found.events).toContain('"secretKeyRef":{"name":"credentials"')
  expect(found.events).toContain('"data":{"password":"[redacted]"}')
  expect(found.events).toContain('"size":"large","parts":[{"dbPassword":"[redacted]"}')
  expect(found.state).not.toContain('imagePullSecrets')
}, 120_000)

it('shows of whole objects what is revealed by name, to those who read events only', async () => {
  const found = await collect('pods?object=full&reveal=env,headers v1/configmaps example.com/v1/widgets')
  const revealed = ['', 'init', 'ephemeral'].flatMap((prefix) => [`canary-${prefix}env`, `canary-${prefix}header`])
  const seen = findCanaries(found.events?.replaceAll('canary-pullsecret', '') ?? '')
  expect(seen).toEqual(revealed.toSorted())
  for (const way of ['state', 'errors', 'logs', 'snapshot'] as const) {
    expect([way, findCanaries(found[way] ?? '')]).toEqual([way, []])
  }
}, 120_000)
