import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EventSource } from 'eventsource'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../infra/sandbox/sandbox.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { awaitSummary, type RelayProcess, startRelay } from '../workers/relay-process.ts'

let folder: string
let sandbox: Sandbox
let relay: RelayProcess
let closers: (() => unknown)[] = []

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-e2e-'))
  sandbox = await createSandbox({ rate: 40, seed: 7, keepHistory: true })
  await writeFile(join(folder, 'kubeconfig'), sandbox.kubeconfig())
})

afterEach(async () => {
  for (const close of closers) await close()
  closers = []
  relay.child.kill('SIGTERM')
  await relay.exited
  await sandbox.stop()
  await rm(folder, { recursive: true, force: true, maxRetries: 5 })
})

async function up(port: number): Promise<string> {
  relay = startRelay(['up', '--port', String(port)], {
    KUBECONFIG: join(folder, 'kubeconfig'),
    RELAY_DATA: join(folder, 'data'),
    WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8',
    WEBHOOK_ALLOW_HTTP: 'true',
  })
  return awaitSummary(relay)
}

/** An event stream as a browser reads it: it reconnects by itself. */
function subscribe(url: string): RelayEvent[] {
  const seen: RelayEvent[] = []
  const source = new EventSource(url)
  source.onmessage = ({ data, lastEventId }) => {
    const event = JSON.parse(data) as RelayEvent
    expect(lastEventId).toBe(event.cursor)
    seen.push(event)
  }
  closers.push(() => source.close())
  return seen
}

/** A receiver that verifies every delivery as the Standard Webhooks library does. */
async function receive(): Promise<{ url: string; seen: RelayEvent[]; ids: string[]; secret: (text: string) => void }> {
  const seen: RelayEvent[] = []
  const ids: string[] = []
  let webhook: Webhook | undefined
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    seen.push(webhook?.verify(body, request.headers as Record<string, string>) as RelayEvent)
    ids.push(String(request.headers['webhook-id']))
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/hook`,
    seen,
    ids,
    secret: (text) => {
      webhook = new Webhook(text)
    },
  }
}

const versions = (events: RelayEvent[]) => events.map(({ data }) => Number(data.resourceVersion))
const history = (from: number, to: number) =>
  sandbox.store
    .history('pods')
    .map(({ resourceVersion }) => resourceVersion)
    .filter((version) => version >= from && version <= to)

it('loses and doubles nothing on the way from a cluster to a stream, a page and a webhook, restarts included', async () => {
  const url = await up(0)
  const port = Number(new URL(url).port)
  const receiver = await receive()
  const answer = await fetch(`${url}/v1/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: receiver.url, filter: { resource: ['pods'] } }),
  })
  expect(answer.status).toBe(201)
  const webhook = (await answer.json()) as { id: string; secret: string }
  receiver.secret(webhook.secret)
  const streamed = subscribe(`${url}/v1/events?resource=pods`)
  await expect.poll(() => streamed.length, { timeout: 20_000 }).toBeGreaterThan(40)

  relay.child.kill('SIGTERM')
  expect(await relay.exited).toEqual({ code: 0, signal: null })
  const before = sandbox.store.history('pods').length
  await expect.poll(() => sandbox.store.history('pods').length, { timeout: 20_000 }).toBeGreaterThan(before + 20)
  await up(port)
  const enough = streamed.length + 80
  await expect.poll(() => streamed.length, { timeout: 30_000 }).toBeGreaterThan(enough)

  const told = versions(streamed)
  expect(told).toEqual(history(told[0] ?? 0, told.at(-1) ?? 0))

  const page = await fetch(`${url}/v1/events?from=start&resource=pods&limit=1000`, {
    headers: { accept: 'application/json' },
  })
  const paged = versions(((await page.json()) as { events: RelayEvent[] }).events)
  expect(paged).toEqual(history(paged[0] ?? 0, paged.at(-1) ?? 0))

  const last = told.at(-1) ?? 0
  const delivered = () =>
    versions(receiver.seen)
      .filter((version) => version <= last)
      .toSorted((a, b) => a - b)
  await expect.poll(delivered, { timeout: 30_000 }).toEqual(history(delivered()[0] ?? 0, last))
  expect(new Set(receiver.ids).size).toBe(receiver.ids.length)

  const deliveries = await fetch(`${url}/v1/webhooks/${webhook.id}/deliveries?limit=10`)
  const { items } = (await deliveries.json()) as { items: { state: string; attempts: unknown[] }[] }
  expect(items.length).toBe(10)
}, 120_000)

it('tells who holds a lease, and who held it before', async () => {
  const url = await up(0)
  const read = async (path: string) => (await fetch(`${url}${path}`)).json()
  const leases = () =>
    read('/v1/leases?namespace=kube-system') as Promise<{ items: { name: string; holder: string }[] }>
  await expect.poll(async () => (await leases()).items.length, { timeout: 20_000 }).toBeGreaterThan(1)
  const put = (holder: string) => {
    const old = sandbox.store.get('leases', 'kube-system', 'e2e')
    return sandbox.store.put('leases', {
      ...(old ?? {}),
      metadata: { ...(old?.metadata ?? {}), name: 'e2e', namespace: 'kube-system' },
      spec: { holderIdentity: holder, leaseDurationSeconds: 60, renewTime: '2026-01-01T00:00:00.000001Z' },
    } as Parameters<typeof sandbox.store.put>[1])
  }
  for (const holder of ['first', 'second', '', 'third']) put(holder)
  const one = () => read('/v1/leases/kube-system/e2e') as Promise<Record<string, unknown>>
  await expect.poll(async () => (await one()).holder, { timeout: 20_000 }).toBe('third')
  expect(await one()).toMatchObject({
    previousHolder: 'second',
    expired: false,
    renewTime: '2026-01-01T00:00:00.000001Z',
  })
  const holders = (await read('/v1/leases/kube-system/e2e/holders')) as { items: Record<string, unknown>[] }
  expect(holders.items).toMatchObject([
    { holder: 'third', began: 'acquired' },
    { holder: 'second', began: 'transferred', ended: 'released' },
    { holder: 'first', began: 'acquired', ended: 'transferred' },
  ])
}, 60_000)
