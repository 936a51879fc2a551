import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { startReceiver } from './receiver.ts'
import { createStage, podEvent, until } from './stage.ts'

let server: TestRedis
const children = new Set<ChildProcess>()

beforeAll(async () => {
  server = await startTestRedis()
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await server.stop()
})

const program = new URL('worker-process.ts', import.meta.url).pathname

async function startWorker(cluster: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [program, server.url, cluster], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  child.once('exit', () => children.delete(child))
  if (child.stdout !== null) await once(child.stdout, 'data')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

describe('a killed process', () => {
  it('loses nothing, and doubles at most what was in flight', { timeout: 60_000 }, async () => {
    const receiver = await startReceiver((response) => setTimeout(() => response.end(), 10))
    const stage = await createStage(server.url)
    const webhook = await stage.register(receiver.url)
    const events = Array.from({ length: 600 }, (_, n) => podEvent(`web-${n}`))
    const kills = 4
    const append = async () => {
      for (let i = 0; i < events.length; i += 20) {
        await stage.append(...events.slice(i, i + 20))
        await sleep(60)
      }
    }
    const appended = append()
    for (let i = 0; i < kills; i++) {
      const child = await startWorker(stage.cluster)
      await sleep(150 + i * 110)
      await kill(child)
    }
    await appended
    const last = await startWorker(stage.cluster)
    const counts = await until(async () => {
      const now = await stage.ledger.counts(webhook.id)
      return now.delivered === events.length && now
    }, 40_000)
    await kill(last)
    expect(counts).toMatchObject({ accepted: events.length, pending: 0, dead: 0 })
    const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
    expect(new Set(ids).size).toBe(events.length)
    expect(ids.length - events.length).toBeLessThanOrEqual(kills * 2 * 20)
    await stage.close()
    await receiver.close()
  })

  it('leaves nothing behind when it is stopped with requests under way', { timeout: 30_000 }, async () => {
    const receiver = await startReceiver((response, count) => {
      if (count > 0) response.end()
    })
    const stage = await createStage(server.url)
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    const first = stage.deliverer({ grace: 100 })
    await stage.append(podEvent('web'))
    await until(async () => receiver.received.length === 1)
    await first.stop()
    stage.deliverer()
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 1)
    const [delivery] = await stage.ledger.list(webhook.id, { limit: 1 })
    expect(delivery?.attempts).toHaveLength(1)
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    await stage.close()
    await receiver.close()
  })

  it('goes on when Redis was killed under it', { timeout: 60_000 }, async () => {
    const own = await startTestRedis({ appendfsync: 'always' })
    const receiver = await startReceiver()
    const stage = await createStage(own.url)
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ lockDuration: 2000 })
    for (let round = 0; round < 3; round++) {
      await stage.append(...Array.from({ length: 50 }, (_, n) => podEvent(`web-${n}`)))
      await own.restart()
    }
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 150, 40_000)
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(150)
    await stage.close()
    await receiver.close()
    await own.stop()
  })
})
