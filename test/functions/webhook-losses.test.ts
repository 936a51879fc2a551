import { expect, it } from 'vitest'
import type { RelayEvent } from '../../shared/event.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { formatPosition } from '../../shared/position.ts'
import type { Delivery } from '../../shared/webhook/delivery.ts'
import { podEvent, type Stage, until } from '../workers/deliverer/stage.ts'
import { stageEach } from '../workers/deliverer/staged.ts'
import { createWebhookApp, createWebhookClient } from './webhook-client.ts'

let stage: Stage

stageEach((fresh) => {
  stage = fresh
})

const nowhere = 'http://127.0.0.1:1/'
const many = (count: number) => Array.from({ length: count }, (_, n) => podEvent(`web-${n}`))
const bounds = () => createLogReader(stage.redis, stage.keys).bounds()
const accepted = (id: string, count: number) =>
  until(async () => (await stage.ledger.counts(id)).accepted === count || undefined)
/** Has the log keep only its newest events, as retention does. */
const keepOnly = async (count: number) => {
  const { last } = await bounds()
  const first = last - count + 1
  await stage.redis.xtrim(stage.keys.log, 'MINID', `${first}-0`)
  await stage.redis.hset(stage.keys.meta, 'first', String(first))
}
const told = async (id: string) => {
  const deliveries: Delivery[] = await stage.ledger.list(id, { limit: 100 })
  return deliveries.flatMap(({ body }) => (body === undefined ? [] : [JSON.parse(body) as RelayEvent]))
}
const tenant = (name: string) => ({ owner: { tenant: name } })
const asking = { filter: { type: ['relay.*'] } }

it('says of each webhook what the log dropped while nobody dispatched, and tells its owner', async () => {
  const webhook = await stage.register(nowhere, tenant('a'))
  const off = await stage.register(nowhere, tenant('a'))
  const [observer, stranger] = [
    await stage.register(nowhere, { ...asking, ...tenant('a') }),
    await stage.register(nowhere, { ...asking, ...tenant('b') }),
  ]
  const spared = await stage.register(nowhere, {
    filter: { type: ['relay.*', '!relay.endpoint.overtaken'] },
    ...tenant('a'),
  })
  const first = stage.dispatcher()
  await stage.append(podEvent('seen'))
  await accepted(webhook.id, 1)
  await first.stop()
  await stage.store.update(off.id, (current) => ({ ...current, enabled: false }))
  await stage.append(...many(20))
  await keepOnly(5)
  stage.dispatcher()
  await accepted(webhook.id, 6)

  const { epoch, seal } = await bounds()
  const call = createWebhookClient(stage)
  const { body } = await call('GET', `/${webhook.id}`)
  const [from, to] = [1, 16].map((seq) => seal.toCursor({ epoch, seq }))
  const lost = { events: 15, from, to, since: expect.stringMatching(/Z$/), latest: expect.stringMatching(/Z$/) }
  expect(body.lost).toEqual(lost)
  const why = await call('GET', `/${webhook.id}/explain?event=${seal.toCursor({ epoch, seq: 7 })}`)
  expect(why.body).toMatchObject({ verdict: 'trimmed', detail: expect.stringContaining('which lost 15 events') })
  const listed = (await call('GET', '')).body.items?.find(({ id }) => id === webhook.id)
  expect(listed?.lost).toEqual(lost)
  expect((await call('GET', `/${off.id}`)).body.lost).toBeUndefined()
  const metrics = await (await createWebhookApp(stage).request('/metrics')).text()
  expect(metrics).toContain(`relay_webhook_lost_events_total{webhook="${webhook.id}"} 15\n`)
  expect(metrics).toContain(`relay_webhook_lost_events_total{webhook="${off.id}"} 0\n`)

  const news = await told(observer.id)
  expect(new Set(news.map(({ type }) => type))).toEqual(new Set(['relay.endpoint.overtaken']))
  expect(news.map(({ subject }) => subject).sort()).toEqual([webhook.id, observer.id, spared.id].sort())
  expect(await told(spared.id)).toEqual([])
  expect(news.find(({ subject }) => subject === webhook.id)?.data).toEqual({
    webhook: webhook.id,
    lost: { events: 15, from, to, since: (body.lost as { since: string }).since },
    changes: [{ type: 'overtaken', count: 15 }],
  })
  expect((await told(stranger.id)).map(({ subject }) => subject)).toEqual([stranger.id])

  await stage.store.remove(webhook.id)
  const fields = await stage.redis.hkeys(stage.keys.own('dispatch'))
  expect(fields.filter((field) => field.includes(webhook.id))).toEqual([])
})

it('says what a webhook missed that starts in the past and is overtaken on its way', async () => {
  const { epoch } = await bounds()
  const start = formatPosition({ epoch, seq: 0 })
  await stage.append(...many(20))
  await keepOnly(4)
  const observer = await stage.register(nowhere, asking)
  stage.dispatcher()
  const webhook = await stage.register(nowhere, { start })
  await accepted(webhook.id, 4)
  const call = createWebhookClient(stage)
  const { seal } = await bounds()
  const place = (seq: number) => seal.toCursor({ epoch, seq })
  const { body } = await call('GET', `/${webhook.id}`)
  expect(body.lost).toMatchObject({ events: 16, from: place(0), to: place(16) })
  expect(await told(observer.id)).toHaveLength(1)
})

it('adds up what is lost time after time, and tells of it at most once a minute', async () => {
  const webhook = await stage.register(nowhere, asking)
  const call = createWebhookClient(stage)
  const observed = await stage.register(nowhere)
  for (let round = 1; round <= 3; round++) {
    const dispatcher = stage.dispatcher()
    await stage.append(podEvent('seen'))
    await accepted(observed.id, round * 3 - 2)
    await dispatcher.stop()
    await stage.append(...many(10))
    await keepOnly(2)
    const again = stage.dispatcher()
    await accepted(observed.id, round * 3)
    await again.stop()
  }
  const { epoch, seal } = await bounds()
  const { body } = await call('GET', `/${observed.id}`)
  const [from, to] = [1, 31].map((seq) => seal.toCursor({ epoch, seq }))
  expect(body.lost).toMatchObject({ events: 24, from, to })
  // Of each webhook at most once a minute; the one that asks lost as much.
  expect((await told(webhook.id)).map(({ subject }) => subject).sort()).toEqual([webhook.id, observed.id].sort())
})
