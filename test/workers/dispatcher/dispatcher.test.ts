import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createLogReader } from '../../../shared/log/reader.ts'
import { formatPosition } from '../../../shared/position.ts'
import { createProgress } from '../../../workers/dispatcher/progress.ts'
import { podEvent, type Stage, until } from '../deliverer/stage.ts'
import { stageEach } from '../deliverer/staged.ts'

let stage: Stage

stageEach((fresh) => {
  stage = fresh
})

const nowhere = 'http://127.0.0.1:1/'
const eventsOf = async (id: string) => (await stage.ledger.list(id, { limit: 200 })).map(({ event }) => event).reverse()
const accepted = (id: string, count: number) =>
  until(async () => (await stage.ledger.counts(id)).accepted === count && eventsOf(id))
const many = (count: number) => Array.from({ length: count }, (_, n) => podEvent(`web-${n}`))
const bounds = () => createLogReader(stage.redis, stage.keys).bounds()

describe('the dispatcher', () => {
  it('accepts what matches each webhook, from its registration on', async () => {
    stage.dispatcher()
    await stage.append(podEvent('before'))
    const all = await stage.register(nowhere)
    const failed = await stage.register(nowhere, { filter: { phase: ['Failed'] } })
    const events = [podEvent('a'), podEvent('b', 'Failed'), podEvent('c')]
    await stage.append(...events)
    expect(await accepted(all.id, 3)).toEqual(events.map(({ id }) => id))
    expect(await accepted(failed.id, 1)).toEqual([events[1]?.id])
  })

  it('takes a changed record into account from the next event on', async () => {
    stage.dispatcher()
    const webhook = await stage.register(nowhere)
    const events = many(4)
    const append = async (n: number) => stage.append(...events.slice(n, n + 1))
    await append(0)
    await accepted(webhook.id, 1)
    await stage.store.update(webhook.id, (current) => ({ ...current, enabled: false }))
    await append(1)
    await stage.store.update(webhook.id, (current) => ({ ...current, enabled: true }))
    const other = await stage.register(nowhere)
    await append(2)
    await accepted(other.id, 1)
    await stage.store.update(webhook.id, (current) => ({ ...current, filter: { phase: ['Failed'] } }))
    await append(3)
    await accepted(other.id, 2)
    // The disabling may not have been seen between two batches; the filter was there before the last event.
    expect(await eventsOf(webhook.id)).not.toContain(events[3]?.id)
  })

  it('starts a webhook in the past, and brings it up to the present without a gap', async () => {
    const events = many(1200)
    await stage.append(...events.slice(0, 1100))
    stage.dispatcher()
    const { epoch } = await bounds()
    const webhook = await stage.register(nowhere, { start: formatPosition({ epoch, seq: 100 }) })
    for (let i = 1100; i < 1200; i += 10) await stage.append(...events.slice(i, i + 10))
    await accepted(webhook.id, 1100)
    await stage.append(podEvent('live'))
    await accepted(webhook.id, 1101)
    const ids = new Set(await stage.redis.zrange(stage.keys.own('ledger', webhook.id, 'pending'), '0', '-1'))
    expect(ids.size).toBe(1101)
    expect(ids.has(formatPosition({ epoch, seq: 101 }))).toBe(true)
  })

  it('goes on where it stopped, with every event accepted once', async () => {
    const webhook = await stage.register(nowhere)
    for (let round = 0; round < 4; round++) {
      const dispatcher = stage.dispatcher()
      await stage.append(...many(30))
      await sleep(round * 15)
      await dispatcher.stop()
    }
    stage.dispatcher()
    expect(await accepted(webhook.id, 120)).toHaveLength(120)
  })

  it('lets one of several lead, and another take over', async () => {
    const webhook = await stage.register(nowhere)
    const first = stage.dispatcher()
    await stage.append(...many(5))
    await accepted(webhook.id, 5)
    stage.dispatcher()
    await until(async () => stage.lines.some((line) => line.startsWith('info another dispatcher leads')))
    await stage.append(...many(5))
    await accepted(webhook.id, 10)
    await first.stop()
    await stage.append(...many(5))
    await accepted(webhook.id, 15)
    const groups = (await stage.ledger.list(webhook.id, { limit: 200 })).map(({ id }) => id)
    expect(new Set(groups).size).toBe(15)
  })

  it('writes nothing after its lease went to another', async () => {
    const webhook = await stage.register(nowhere)
    const progress = createProgress(stage.redis, stage.keys)
    const old = await progress.claim('old', 1)
    await sleep(5)
    const current = await progress.claim('new', 10_000)
    if (old.held || current.held) throw new Error('held')
    const { epoch } = await bounds()
    const step = {
      of: 'main' as const,
      from: undefined,
      to: formatPosition({ epoch, seq: 1 }),
      admitted: [],
      jobs: [
        {
          job: { webhook: webhook.id, epoch, group: '1', attempt: 0, seqs: [1] },
          deliveries: [{ seq: 1, id: `${epoch}-1`, record: 'pending 0 {}' }],
        },
      ],
    }
    expect(await progress.accept({ ...step, fence: old.fence })).toBe('fenced')
    expect(await stage.ledger.counts(webhook.id)).toMatchObject({ accepted: 0 })
    expect(await progress.accept({ ...step, fence: current.fence })).toBe('ok')
    expect(await progress.accept({ ...step, fence: current.fence })).toBe('duplicate')
    expect(await progress.accept({ ...step, fence: current.fence, to: `${epoch}-2` })).toBe('conflict')
    expect(await stage.ledger.counts(webhook.id)).toMatchObject({ accepted: 1, pending: 1 })
  })

  it('queues what a predecessor accepted and did not live to queue', async () => {
    const webhook = await stage.register(nowhere)
    const first = stage.dispatcher()
    await stage.append(podEvent('web'))
    await accepted(webhook.id, 1)
    await first.stop()
    const outbox = stage.keys.own('dispatch', 'outbox')
    expect(await stage.redis.hlen(outbox)).toBe(0)
    const names = await stage.redis.keys(`${stage.keys.own('bull')}:*`)
    const [delivery] = await stage.ledger.list(webhook.id, { limit: 1 })
    const { epoch, last } = await bounds()
    const job = { webhook: webhook.id, epoch, group: delivery?.group ?? '', attempt: 0, seqs: [last] }
    const id = `${webhook.id}_${epoch}_${job.group}_0`
    expect(names).toContain(`${stage.keys.own('bull')}:deliveries:${id}`)
    await stage.redis.del(...names)
    await stage.redis.hset(outbox, id, JSON.stringify(job))
    stage.dispatcher()
    await until(async () => (await stage.redis.hlen(outbox)) === 0)
    expect(await stage.redis.exists(`${stage.keys.own('bull')}:deliveries:${id}`)).toBe(1)
  })

  it('says loudly when retention overtook it, and goes on from the oldest event', async () => {
    const webhook = await stage.register(nowhere)
    const first = stage.dispatcher()
    await stage.append(podEvent('web'))
    await accepted(webhook.id, 1)
    await first.stop()
    await stage.append(...many(20))
    const { epoch, last } = await bounds()
    await stage.redis.xtrim(stage.keys.log, 'MINID', `${last - 4}-0`)
    await stage.redis.hset(stage.keys.meta, 'first', String(last - 4))
    stage.dispatcher()
    await accepted(webhook.id, 6)
    expect(stage.lines.some((line) => line.startsWith('error the log was reset'))).toBe(true)
    expect(await stage.redis.hget(stage.keys.own('dispatch'), 'resets')).toBe('1')
    expect((await stage.ledger.list(webhook.id, { limit: 1 }))[0]?.id).toBe(formatPosition({ epoch, seq: last }))
  })

  it('doubles nothing when the log begins a new life at the same place', async () => {
    const webhook = await stage.register(nowhere)
    stage.dispatcher()
    await stage.append(...many(10))
    await accepted(webhook.id, 10)
    await stage.redis.hset(stage.keys.meta, 'epoch', 'another')
    await stage.append(...many(3))
    await accepted(webhook.id, 13)
    await sleep(100)
    expect(await stage.ledger.counts(webhook.id)).toMatchObject({ accepted: 13 })
  })
})
