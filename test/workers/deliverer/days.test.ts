import { type Job, Queue } from 'bullmq'
import { afterEach, describe, expect, it } from 'vitest'
import { createHealthStore } from '../../../shared/webhook/health.ts'
import { type DeliveryJob, queueName } from '../../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../../shared/webhook/keys.ts'
import type { ListedDelivery } from '../../../shared/webhook/ledger.ts'
import { defaultSchedule } from '../../../workers/deliverer/schedule.ts'
import { podEvent, type Stage, until } from './stage.ts'
import { stageEach } from './staged.ts'

// Days of retries, in seconds: the deliverer goes by a clock of the test's, and what waits in the queue is promoted when that
// clock reaches the time at which the queue was told to hand it out.

const [second, hour, day] = [1000, 3_600_000, 24 * 3_600_000]

let stage: Stage
let queue: Queue<DeliveryJob>
let clock: number

const receive = stageEach((fresh) => {
  stage = fresh
  clock = Date.now()
  const connection = stage.redis.duplicate()
  queue = new Queue(queueName, { connection, prefix: createWebhookKeys(stage.keys).queue })
  stage.dispatcher()
  stage.deliverer({ now: () => clock })
})
afterEach(async () => {
  await queue.close()
})

const find = async (webhook: string, event: string) => {
  const all = await stage.ledger.list(webhook, { limit: 100 })
  return all.find((delivery) => delivery.event === event)
}
const healthOf = async (webhook: string) => (await createHealthStore(stage.redis, stage.keys).all()).get(webhook)

/** Waits for the outcome of an attempt, and for the job of the next one. */
async function attempted(webhook: string, event: string, count: number) {
  const delivery = await until(async () => {
    const found = await find(webhook, event)
    return found?.attempts.length === count && found
  })
  if (delivery.state !== 'pending') return { delivery, job: undefined }
  const job = await until(async () => {
    const delayed = await queue.getDelayed()
    return delayed.find(({ data }) => data.webhook === webhook && data.attempt === count)
  })
  return { delivery, job }
}

/** Sets the clock to when a job is due, and hands it out. */
async function moveTo(delivery: ListedDelivery, job: Job<DeliveryJob>): Promise<void> {
  expect(job.delay).toBe((delivery.due ?? 0) - clock)
  const { pausedUntil = 0 } = (await healthOf(job.data.webhook)) ?? {}
  clock = Math.max(delivery.due ?? 0, pausedUntil)
  await job.promote()
}

/** Follows a delivery to its end; answers when its attempts were made. */
async function follow(webhook: string, event: string): Promise<ListedDelivery> {
  for (let count = 1; ; count++) {
    const { delivery, job } = await attempted(webhook, event, count)
    if (job === undefined) return delivery
    await moveTo(delivery, job)
  }
}
const pausesOf = ({ attempts }: ListedDelivery) =>
  attempts.slice(1).map(({ at }, n) => at - (attempts[n]?.at ?? Number.NaN))

function expectPauses(pauses: readonly number[], schedule: readonly number[]): void {
  expect(pauses).toHaveLength(schedule.length)
  for (const [n, pause] of schedule.entries()) {
    expect(pauses[n], `pause ${n}`).toBeGreaterThanOrEqual(pause)
    expect(pauses[n], `pause ${n}`).toBeLessThanOrEqual(pause * 1.2)
  }
}

describe('an endpoint that fails for days', () => {
  it('is asked eleven times over more than 75 hours, and turned off after five days, which is told', async () => {
    const dead = await receive((response) => response.writeHead(500).end())
    const watching = await receive()
    const webhook = await stage.register(dead.url, { filter: { resource: ['pods'] } })
    const observer = await stage.register(watching.url, { filter: { type: ['relay.endpoint.disabled'] } })
    const began = clock
    const event = podEvent('web')
    await stage.append(event)
    const first = await follow(webhook.id, event.id)
    expect(first).toMatchObject({ state: 'dead', reason: 'exhausted' })
    expectPauses(pausesOf(first), defaultSchedule.slice(1))
    expect(first.attempts).toHaveLength(11)
    expect(clock - began).toBeGreaterThanOrEqual(75 * hour)
    expect(dead.received).toHaveLength(11)
    expect(new Set(dead.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    // The signature is of the attempt, not of the event: a receiver refuses what is older than some minutes.
    expect(dead.received.map(({ headers }) => Number(headers['webhook-timestamp']))).toEqual(
      first.attempts.map(({ at }) => Math.floor(at / 1000)),
    )
    expect((await stage.store.get(webhook.id))?.enabled).toBe(true)

    clock = began + 5 * day - second
    const next = podEvent('web')
    await stage.append(next)
    const before = await attempted(webhook.id, next.id, 1)
    expect((await stage.store.get(webhook.id))?.enabled).toBe(true)
    if (before.job === undefined) throw new Error('no retry')
    await moveTo(before.delivery, before.job)
    const after = await attempted(webhook.id, next.id, 2)
    const disabledAt = new Date(clock).toISOString()
    expect(await stage.store.get(webhook.id)).toMatchObject({ enabled: false, disabledReason: 'failing', disabledAt })
    await after.job?.promote()
    await until(async () => (await find(webhook.id, next.id))?.state === 'disabled')
    expect(dead.received).toHaveLength(13)
    await until(async () => watching.received.length === 1)
    expect(JSON.parse(watching.received[0]?.body ?? '')).toMatchObject({
      type: 'relay.endpoint.disabled',
      subject: webhook.id,
      time: disabledAt,
      data: { reason: 'failing' },
    })
    await until(async () => (await stage.ledger.counts(observer.id)).delivered === 1)
  })

  it('is asked by its own schedule where it has one', async () => {
    const dead = await receive((response) => response.writeHead(500).end())
    const schedule = [0, hour, 2 * day, 10 * second]
    const webhook = await stage.register(dead.url, { schedule })
    const event = podEvent('web')
    await stage.append(event)
    const delivery = await follow(webhook.id, event.id)
    expect(delivery).toMatchObject({ state: 'dead', reason: 'exhausted' })
    expectPauses(pausesOf(delivery), schedule.slice(1))
  })
})

describe('an endpoint that asks for time', () => {
  it('is given what it asks for, no less than the schedule says and no more than a day', async () => {
    const asks = ['1', String(3600), String(10 * 86_400), 'Fri, 31 Dec 9999 23:59:59 GMT', 'soon']
    const busy = await receive((response, count) => response.writeHead(503, { 'retry-after': asks[count] ?? '' }).end())
    const schedule = [0, 60 * second, 60 * second, 60 * second, 60 * second, 60 * second]
    const webhook = await stage.register(busy.url, { schedule })
    const event = podEvent('web')
    await stage.append(event)
    const delivery = await follow(webhook.id, event.id)
    expectPauses(pausesOf(delivery), [60 * second, hour, day, day, 60 * second])
  })

  it.each([429, 502, 504])(
    'and answers %i without saying how much is left alone for longer each time',
    async (status) => {
      const busy = await receive((response) => response.writeHead(status).end())
      const webhook = await stage.register(busy.url, { schedule: Array.from({ length: 9 }, () => 0) })
      const event = podEvent('web')
      await stage.append(event)
      const pauses: number[] = []
      for (let count = 1; count <= 8; count++) {
        const { delivery } = await attempted(webhook.id, event.id, count)
        expect(delivery.state).toBe('pending')
        const { pausedUntil = 0 } = (await healthOf(webhook.id)) ?? {}
        pauses.push((pausedUntil - clock) / second)
        clock = pausedUntil
        await until(async () => {
          for (const job of await queue.getDelayed()) await job.promote().catch(() => undefined)
          return (await find(webhook.id, event.id))?.attempts.length === count + 1
        })
      }
      expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60])
    },
  )
})
