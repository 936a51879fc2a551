import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { RelayEvent } from '../../shared/event.ts'
import { toMessageId } from '../../shared/webhook/message-id.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { createStage, encryptionKey, podEvent, until } from '../workers/deliverer/stage.ts'
import { type Bench, median, type Row } from './bench.ts'

interface Complete {
  count: number
  ms: number
  delays: number[]
}

const repetitions = 3
const perSecond = 5000
const [few, many] = [10, 100]

/** Deliveries to receivers on this machine, signed, durable and logged; beside it, the loops that one would write first. */
export const webhooks: Bench = {
  name: 'webhooks',
  describe: 'deliveries to local receivers, beside BullMQ with fetch and BullMQ with undici',
  async *run({ seconds, only }) {
    const total = Math.ceil((seconds * perSecond) / many) * many
    const races: Record<string, () => Promise<number>> = {
      'ten endpoints': () => runRelay(total, few, 0),
      'bullmq-fetch': () => runLoop('fetch', total),
      'bullmq-undici': () => runLoop('undici', total),
      '100 endpoints': () => runRelay(total, many, 0),
      '100 endpoints, one never answers': () => runRelay(total, many - 1, 1),
    }
    const speeds = new Map<string, number[]>()
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const [name, race] of Object.entries(races)) {
        if (!name.includes(only)) continue
        speeds.set(name, [...(speeds.get(name) ?? []), await race()])
      }
    }
    const medians = new Map([...speeds].map(([name, values]) => [name, median(values)]))
    for (const [name, value] of medians) {
      const peers = name.startsWith('bullmq')
        ? []
        : name.includes('one')
          ? ['100 endpoints']
          : ['bullmq-fetch', 'bullmq-undici']
      const ratios: Row['ratios'] = {}
      for (const peer of peers) if (medians.has(peer)) ratios[peer] = value / (medians.get(peer) ?? Number.NaN)
      yield { case: name, value, unit: 'per s', ratios }
    }
    if (!'latency at 1,000 events per s'.includes(only)) return
    const delays = (await runLatency(1000, seconds)).toSorted((a, b) => a - b)
    for (const part of [0.5, 0.99]) {
      const value = delays[Math.floor(delays.length * part)] ?? Number.NaN
      yield { case: `latency at 1,000 events per s, p${part * 100}`, value, unit: 'ms', ratios: {} }
    }
  },
}

/** Starts a program of this benchmark, and waits for its first word. */
async function start(program: string, ...args: string[]) {
  const url = new URL(`webhooks/${program}`, import.meta.url)
  const child = fork(url, args, { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const [first] = (await once(child, 'message')) as [{ ports?: number[] }]
  return {
    ports: first.ports ?? [],
    async tell(message: object) {
      child.send(message)
      await once(child, 'message')
    },
    async complete(): Promise<Complete> {
      const [message] = (await once(child, 'message')) as [Complete]
      return message
    },
    async stop() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

const eventsOf = (count: number): RelayEvent[] => Array.from({ length: count }, (_, n) => podEvent(`web-${n % 200}`))

async function runRelay(total: number, live: number, silent: number): Promise<number> {
  return withRedis(async (redis) => {
    const receivers = await start('receiver.ts', String(live), String(silent))
    const stage = await createStage(redis.url)
    for (const port of receivers.ports) await stage.register(`http://127.0.0.1:${port}/hook`)
    const events = eventsOf(Math.ceil(total / (live + silent)))
    await receivers.tell({ want: events.length * live })
    const complete = receivers.complete()
    const relay = await start('relay.ts', redis.url, stage.cluster, encryptionKey)
    for (let i = 0; i < events.length; i += 50) await stage.append(...events.slice(i, i + 50))
    const { count, ms } = await complete
    // Delivered is what is recorded as that.
    for (const { id, url } of await stage.store.all()) {
      if (!receivers.ports.slice(0, live).some((port) => url.includes(`:${port}/`))) continue
      await until(async () => (await stage.ledger.counts(id)).delivered === events.length)
    }
    await relay.stop()
    await stage.close()
    await receivers.stop()
    return (count / ms) * 1000
  })
}

async function runLoop(kind: string, total: number): Promise<number> {
  return withRedis(async (redis) => {
    const receivers = await start('receiver.ts', String(few), '0')
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null })
    const queue = new Queue('reference', { connection })
    const jobs = eventsOf(Math.ceil(total / few)).flatMap((event) =>
      receivers.ports.map((port) => ({
        name: 'deliver',
        data: { url: `http://127.0.0.1:${port}/hook`, id: toMessageId(event.id), body: JSON.stringify(event) },
      })),
    )
    await receivers.tell({ want: jobs.length })
    for (let i = 0; i < jobs.length; i += 1000) await queue.addBulk(jobs.slice(i, i + 1000))
    const complete = receivers.complete()
    const loop = await start('loop.ts', kind, redis.url, encryptionKey)
    const { count, ms } = await complete
    await until(async () => (await queue.getCompletedCount()) === jobs.length)
    await loop.stop()
    await queue.close()
    connection.disconnect()
    await receivers.stop()
    return (count / ms) * 1000
  })
}

async function runLatency(rate: number, seconds: number): Promise<number[]> {
  return withRedis(async (redis) => {
    const receivers = await start('receiver.ts', '1', '0')
    const stage = await createStage(redis.url)
    await stage.register(`http://127.0.0.1:${receivers.ports[0]}/hook`)
    const relay = await start('relay.ts', redis.url, stage.cluster, encryptionKey)
    // What a start costs once is not what a change costs.
    await receivers.tell({ want: 100 })
    const warm = receivers.complete()
    for (let i = 0; i < 10; i++) await stage.append(...eventsOf(10))
    await warm
    const total = rate * Math.max(seconds, 3)
    await receivers.tell({ want: total })
    const complete = receivers.complete()
    const begun = performance.now()
    for (let sent = 0; sent < total; ) {
      const due = Math.min(total, Math.floor(((performance.now() - begun) * rate) / 1000))
      if (due > sent) await stage.append(...eventsOf(due - sent))
      sent = due
      await sleep(2)
    }
    const { delays } = await complete
    await relay.stop()
    await stage.close()
    await receivers.stop()
    return delays
  })
}

async function withRedis<T>(run: (redis: TestRedis) => Promise<T>): Promise<T> {
  const redis = await startTestRedis({ appendfsync: 'everysec' })
  try {
    return await run(redis)
  } finally {
    await redis.stop()
  }
}
