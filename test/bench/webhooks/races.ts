import { setTimeout as sleep } from 'node:timers/promises'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import type { RelayEvent } from '../../../shared/event.ts'
import { toMessageId } from '../../../workers/deliverer/message-id.ts'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { createStage, encryptionKey, podEvent, until } from '../../workers/deliverer/stage.ts'
import { readProcessorTime } from '../processor.ts'
import { type Program, startProgram } from './program.ts'

/** How a race went: deliveries a second, and the µs of processor time that each took in each process. */
export interface Score {
  speed: number
  cpu: { sender: number; redis: number; receivers: number }
}

/** How many endpoints answer at once, answer never, and answer after ten seconds. */
export interface Endpoints {
  live: number
  silent?: number
  slow?: number
}

/** How many events come at a time. */
const appended = 50

const eventsOf = (count: number): RelayEvent[] => Array.from({ length: count }, (_, n) => podEvent(`web-${n % 200}`))

/** The deliver role as it ships. The clock runs from the log to what the ledger says. */
export function runRelay(total: number, { live, silent = 0, slow = 0 }: Endpoints): Promise<Score> {
  return withRedis(async (redis) => {
    const receivers = await startProgram('receiver.ts', live, silent, slow)
    const stage = await createStage(redis.url)
    for (const port of receivers.ports) await stage.register(`http://127.0.0.1:${port}/hook`)
    const relay = await startProgram('relay.ts', redis.url, stage.cluster, encryptionKey)
    let sent = 0
    const score = await measure({ receivers, sender: relay, redis: stage.redis }, { total, live }, async (events) => {
      for (let i = 0; i < events.length; i += appended) await stage.append(...events.slice(i, i + appended))
      sent += events.length
      // Delivered is what is recorded as that.
      for (const { id, url } of await stage.store.all()) {
        if (!receivers.ports.slice(0, live).some((port) => url.includes(`:${port}/`))) continue
        await until(async () => (await stage.ledger.counts(id)).delivered === sent)
      }
    })
    await relay.stop()
    await stage.close()
    await receivers.stop()
    return score
  })
}

/** A reference loop. As with ours, events come while it delivers: they are put into its queue by the process that makes them. */
export function runLoop(kind: string, total: number, endpoints: number): Promise<Score> {
  return withRedis(async (redis) => {
    const receivers = await startProgram('receiver.ts', endpoints)
    const connection = new Redis(redis.url, { maxRetriesPerRequest: null })
    const queue = new Queue('reference', { connection })
    const loop = await startProgram('loop.ts', kind, redis.url, encryptionKey)
    let sent = 0
    const score = await measure(
      { receivers, sender: loop, redis: connection },
      { total, live: endpoints },
      async (events) => {
        const jobs = events.flatMap((event) =>
          receivers.ports.map((port) => ({
            name: 'deliver',
            data: { url: `http://127.0.0.1:${port}/hook`, id: toMessageId(event.id), body: JSON.stringify(event) },
          })),
        )
        const size = appended * endpoints
        for (let i = 0; i < jobs.length; i += size) await queue.addBulk(jobs.slice(i, i + size))
        sent += jobs.length
        await until(async () => (await queue.getCompletedCount()) === sent)
      },
    )
    await loop.stop()
    await queue.close()
    connection.disconnect()
    await receivers.stop()
    return score
  })
}

/** ms from a change to its receipt, at a steady rate. */
export function runLatency(rate: number, seconds: number): Promise<number[]> {
  return withRedis(async (redis) => {
    const receivers = await startProgram('receiver.ts', 1)
    const stage = await createStage(redis.url)
    await stage.register(`http://127.0.0.1:${receivers.ports[0]}/hook`)
    const relay = await startProgram('relay.ts', redis.url, stage.cluster, encryptionKey)
    const send = async (total: number) => {
      await receivers.tell({ want: total })
      const complete = receivers.hear('complete')
      const begun = performance.now()
      for (let sent = 0; sent < total; ) {
        const due = Math.min(total, Math.floor(((performance.now() - begun) * rate) / 1000))
        if (due > sent) await stage.append(...eventsOf(due - sent))
        sent = due
        await sleep(2)
      }
      return (await complete).delays
    }
    // What a start costs once is not what a change costs.
    await send(rate)
    const delays = await send(rate * Math.max(seconds, 3))
    await relay.stop()
    await stage.close()
    await receivers.stop()
    return delays
  })
}

/**
 * Measures deliveries of events to `live` endpoints, after half as many that do not count: what a start costs once, such as
 * connections and compiled code, is not what a delivery costs.
 * @param deliver resolves when all of its events are recorded as delivered.
 */
async function measure(
  programs: { receivers: Program; sender: Program; redis: Redis },
  { total, live }: { total: number; live: number },
  deliver: (events: readonly RelayEvent[]) => Promise<void>,
): Promise<Score> {
  const { receivers, sender, redis } = programs
  const pid = Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1])
  const read = () => [sender.pid, pid, receivers.pid].map(readProcessorTime)
  const count = Math.ceil(total / live)
  const first = eventsOf(Math.ceil(count / 2))
  await receivers.tell({ want: first.length * live })
  await deliver(first)
  await receivers.tell({ want: count * live })
  const warm = receivers.hear('warm').then(read)
  const complete = receivers.hear('complete').then((result) => ({ ...result, after: read() }))
  await deliver(eventsOf(count))
  const before = await warm
  const result = await complete
  const [own = Number.NaN, server = Number.NaN, theirs = Number.NaN] = result.after.map(
    (used, n) => (used - (before[n] ?? 0)) / result.count,
  )
  return { speed: (result.count / result.ms) * 1000, cpu: { sender: own, redis: server, receivers: theirs } }
}

async function withRedis<T>(run: (redis: TestRedis) => Promise<T>): Promise<T> {
  const redis = await startTestRedis({ appendfsync: 'everysec' })
  try {
    return await run(redis)
  } finally {
    await redis.stop()
  }
}
