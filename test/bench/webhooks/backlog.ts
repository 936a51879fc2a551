import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { startTestRedis } from '../../support/redis.ts'
import { createStage, encryptionKey, podEvent, type Stage, until } from '../../workers/deliverer/stage.ts'
import type { Row } from '../bench.ts'
import { startProgram } from './program.ts'

/** How many events come at a time. */
const appended = 500
/** One event in so many is for the endpoints that answer. */
const share = 100
const probes = 200

/** What waits for an endpoint that never answers, and what that costs: the process that delivers, Redis, and the others. */
export async function* runBacklog(total: number): AsyncGenerator<Row> {
  const redis = await startTestRedis({ appendfsync: 'everysec' })
  const receivers = await startProgram('receiver.ts', 10, 1, 0)
  const stage = await createStage(redis.url)
  try {
    const live = receivers.ports.slice(0, 10)
    for (const port of live) {
      await stage.register(`http://127.0.0.1:${port}/hook`, { filter: { phase: ['Failed'] } })
    }
    const dead = await stage.register(`http://127.0.0.1:${receivers.ports[10]}/hook`)
    const relay = await startProgram('relay.ts', redis.url, stage.cluster, encryptionKey)
    const before = { latency: await probe(stage), rss: await readMemory(relay.pid) }
    const base = await readSize(stage)
    const begun = performance.now()
    let peak = 0
    for (let sent = 0; sent < total; sent += appended) {
      await stage.append(
        ...Array.from({ length: appended }, (_, n) => podEvent(`web-${n}`, n % share ? 'Running' : 'Failed')),
      )
      if (sent % 10_000 > 0) continue
      peak = Math.max(peak, await readMemory(relay.pid))
      // The log of the stage keeps 100,000 events: what is further behind would be lost.
      await until(async () => (await stage.ledger.counts(dead.id)).accepted > sent - 20_000, 60_000)
      await until(async () => (await countPending(stage)) < 2000, 60_000)
    }
    const isAccepted = async () => (await stage.ledger.counts(dead.id)).accepted >= total + probes
    await until(isAccepted, 600_000)
    const seconds = (performance.now() - begun) / 1000
    const name = `${total.toLocaleString('en')} waiting`
    yield { case: `${name}: accepted and queued`, value: total / seconds, unit: 'per s', ratios: {} }
    for (const { id, filter } of await stage.store.all()) {
      const want = filter.phase === undefined ? undefined : total / share + probes
      if (want !== undefined) await until(async () => (await stage.ledger.counts(id)).delivered === want, 300_000)
    }
    await sleep(2000)
    const { pending } = await stage.ledger.counts(dead.id)
    const waiting = (await readSize(stage)) - base
    yield { case: `${name}: Redis for each`, value: waiting / pending, unit: 'bytes', ratios: {} }
    yield { case: `${name}: RSS, deliver before`, value: before.rss, unit: 'MB', ratios: {} }
    yield { case: `${name}: RSS, deliver at most`, value: peak, unit: 'MB', ratios: {} }
    yield { case: `${name}: RSS, deliver after`, value: await readMemory(relay.pid), unit: 'MB', ratios: {} }
    const latency = await probe(stage)
    for (const part of [0.5, 0.99]) {
      const [value, alone] = [at(latency, part), at(before.latency, part)]
      const unit = 'ms'
      yield { case: `${name}: the others, p${part * 100}`, value, unit, ratios: { alone: value / alone } }
    }
    await relay.stop()
  } finally {
    await stage.close()
    await receivers.stop()
    await redis.stop()
  }
}

/** What waits for the endpoints that answer. */
async function countPending(stage: Stage): Promise<number> {
  const live = (await stage.store.all()).filter(({ filter }) => filter.phase !== undefined)
  const counts = await Promise.all(live.map(({ id }) => stage.ledger.counts(id)))
  return counts.reduce((sum, { pending }) => sum + pending, 0)
}

/** ms from an event to the end of its last delivery at the endpoints that answer, some times. */
async function probe(stage: Stage): Promise<number[]> {
  const webhooks = (await stage.store.all()).filter(({ filter }) => filter.phase !== undefined)
  const delivered = async () => {
    const counts = await Promise.all(webhooks.map(({ id }) => stage.ledger.counts(id)))
    return counts.reduce((sum, count) => sum + count.delivered, 0)
  }
  const delays: number[] = []
  let want = await delivered()
  for (let n = 0; n < probes; n++) {
    const begun = performance.now()
    await stage.append(podEvent('probe', 'Failed'))
    want += webhooks.length
    while ((await delivered()) < want) await sleep(1)
    delays.push(performance.now() - begun)
  }
  return delays
}

function at(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * part)] ?? Number.NaN
}

/** What Redis holds beside the log, in bytes. */
async function readSize({ redis, keys }: Stage): Promise<number> {
  const used = /used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]
  const log = (await (redis as Redis).memory('USAGE', keys.log, 'SAMPLES', 0)) ?? 0
  return Number(used) - log
}

/** Resident memory of a process, in MB. */
async function readMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}
