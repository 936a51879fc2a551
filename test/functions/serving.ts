import { EventSource } from 'eventsource'
import { Redis } from 'ioredis'
import { startServe } from '../../functions/node.ts'
import type { Change, RelayEvent } from '../../shared/event.ts'
import { createKeys } from '../../shared/keys.ts'
import { type Claim, createLogWriter, type Operation } from '../../shared/log/writer.ts'
import type { Logger } from '../../shared/role.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const cluster = 'test'
export const keys = createKeys(cluster)

/** Everything that serving needs but a Redis server. */
export const serveConfig = {
  cluster,
  host: '127.0.0.1',
  port: 0,
  resources: 'pods,leases',
  data: '.relay',
  webhookAllowCidrs: ['127.0.0.0/8'],
  webhookAllowHttp: true,
  webhookSecretKey: 'k'.repeat(43),
}

/** What a test writes about one object. */
interface Sample {
  resource?: 'pods' | 'leases'
  verb?: 'added' | 'modified' | 'deleted'
  namespace?: string
  name?: string
  labels?: Record<string, string>
  changes?: Change[]
  [field: string]: unknown
}

/** Writes as a watcher does. */
export interface SampleWriter {
  /** Appends events and keeps the known set; answers the sequence number of the last. */
  append(...samples: Sample[]): Promise<number>
  /** Appends any operations. */
  operate(operations: Operation[]): Promise<number>
  renewEpoch(): Promise<void>
}

/** Functions over real sockets and a real Redis. */
export interface Serving {
  readonly url: string
  readonly redis: TestRedis
  readonly client: Redis
  readonly lines: { level: string; message: string }[]
  createWriter(resource?: 'pods' | 'leases', keepEntries?: number): Promise<SampleWriter>
  /** Number of open streams, as `/readyz` tells. */
  countStreams(): Promise<number>
  stop(): Promise<void>
}

const stored = { pods: 'pods', leases: 'leases.coordination.k8s.io' }
const sources = { pods: 'api/v1', leases: 'apis/coordination.k8s.io/v1' }
let uid = 0

export async function startServing(more: Parameters<typeof startServe>[2] = {}): Promise<Serving> {
  const redis = await startTestRedis()
  const client = new Redis(redis.url)
  client.on('error', () => undefined)
  const lines: Serving['lines'] = []
  const running = await startServe({ ...serveConfig, redisUrl: redis.url }, createRecorder(lines), more)
  const url = running.about.url ?? ''
  return {
    url,
    redis,
    client,
    lines,
    createWriter: (resource = 'pods', keepEntries = 100_000) => createWriter(client, resource, keepEntries),
    async countStreams() {
      const answer = (await (await fetch(`${url}/readyz`)).json()) as { streams: number }
      return answer.streams
    },
    async stop() {
      await running.stop()
      client.disconnect()
      await redis.stop()
    },
  }
}

/** A writer on a connection of one's own. */
export async function createWriter(
  redis: Redis,
  resource: 'pods' | 'leases',
  keepEntries: number,
): Promise<SampleWriter> {
  const writer = createLogWriter({ redis, keys, feed: resource, resource: stored[resource], keepEntries })
  const claim = async (): Promise<Claim> => {
    const answer = await writer.claim('test', 3_600_000)
    if (answer.held) throw new Error('the feed is held')
    return answer
  }
  let { fence, epoch, batch, seq } = await claim()
  const operate = async (operations: Operation[]) => {
    const answer = await writer.append({
      fence,
      epoch,
      batch: ++batch,
      seen: seq,
      resourceVersion: String(batch),
      note: '',
      operations,
    })
    if (answer.outcome !== 'ok') throw new Error(answer.outcome)
    seq = answer.to
    return seq
  }
  return {
    operate,
    append: (...samples) => operate(samples.flatMap((sample) => toOperations({ resource, ...sample }))),
    async renewEpoch() {
      await writer.renewEpoch(fence)
      ;({ fence, epoch, batch, seq } = await claim())
    },
  }
}

function toOperations(sample: Sample): Operation[] {
  const { resource = 'pods', verb = 'modified', changes = [], namespace = 'shop', name = 'web', ...fields } = sample
  const data = { namespace, name, uid: `u-${name}`, resourceVersion: String(++uid), labels: {}, ...fields }
  const event: RelayEvent = {
    specversion: '1.0',
    id: `${cluster}/${data.uid}/${data.resourceVersion}`,
    source: `/clusters/${cluster}/${sources[resource]}/namespaces/${namespace}/${resource}`,
    type: `k8s.${resource.slice(0, -1)}.${verb}`,
    subject: `${namespace}/${name}`,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: { ...data, changes },
  }
  const key = `${namespace}/${name}`
  return [
    { op: 'event', json: JSON.stringify(event) },
    verb === 'deleted' ? { op: 'delete', key } : { op: 'set', key, record: JSON.stringify(data) },
  ]
}

function createRecorder(lines: Serving['lines']): Logger {
  const record = (level: string) => (_fields: object, message: string) => void lines.push({ level, message })
  const log: Logger = {
    trace: record('trace'),
    debug: record('debug'),
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
    child: () => log,
  }
  return log
}

/** One message as a client saw it. */
export interface Message {
  type: string
  id: string
  data: RelayEvent & { cursor?: string; oldest?: string; reason?: string }
}

/** A standard EventSource that collects what comes. */
export interface Listener {
  readonly messages: Message[]
  readonly source: EventSource
  /** The `Last-Event-ID` of each of its requests. */
  readonly resumed: (string | null)[]
  /** Breaks the connection under it; it comes back by itself. */
  breakOff(): void
  close(): void
}

/** Opens an EventSource; `path` begins with `?` or is empty. */
export function listen(url: string, query: string, headers: Record<string, string> = {}): Listener {
  const messages: Message[] = []
  const resumed: Listener['resumed'] = []
  let connection = new AbortController()
  const source = new EventSource(`${url}/v1/events${query}`, {
    fetch: (input, init) => {
      const sent = new Headers({ ...headers, ...init?.headers })
      resumed.push(sent.get('last-event-id'))
      connection = new AbortController()
      init?.signal?.addEventListener('abort', () => connection.abort())
      return fetch(input, { ...init, headers: sent, signal: connection.signal })
    },
  })
  const collect = (event: MessageEvent) =>
    void messages.push({ type: event.type, id: event.lastEventId, data: JSON.parse(event.data) })
  source.onmessage = collect
  source.addEventListener('ready', collect)
  source.addEventListener('live', collect)
  source.addEventListener('reset', collect)
  return {
    messages,
    source,
    resumed,
    breakOff: () => connection.abort(new TypeError('terminated')),
    close: () => source.close(),
  }
}

/** Waits until something holds. */
export async function until(holds: () => unknown, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  while (!(await holds())) {
    if (Date.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
