import { Webhook as Verifier } from 'standardwebhooks'
import { beforeEach, expect, it } from 'vitest'
import type { RelayEvent } from '../../../shared/event.ts'
import type { Webhook } from '../../../shared/webhook/webhook.ts'
import type { Receiver } from './receiver.ts'
import { podEvent, type Stage, until } from './stage.ts'
import { stageEach } from './staged.ts'

let stage: Stage
let receiver: Receiver

const receive = stageEach((fresh) => {
  stage = fresh
})
beforeEach(async () => {
  receiver = await receive()
})

const many = (count: number) => Array.from({ length: count }, (_, n) => podEvent(`web-${n}`))
const countsOf = ({ id }: Webhook) => stage.ledger.counts(id)
/** A webhook whose batches wait, and that follows the log: what it still has to catch up with comes as it is. */
const follow = async (batchSeconds: number) => {
  const filter = { name: ['web-*'] }
  const webhook = await stage.register(receiver.url, { content: 'batch', batchSeconds, filter })
  const dispatcher = stage.dispatcher()
  stage.deliverer()
  await until(async () => {
    await stage.append(podEvent('other'))
    return (await stage.redis.hget(stage.keys.own('dispatch'), `at:${webhook.id}`)) === 'live'
  })
  return { webhook, dispatcher }
}
/** The events of each request, in order; all of them signed. */
const batchesOf = ({ secret }: { secret: string }) =>
  receiver.received.map(({ body, headers }) => {
    const events = new Verifier(secret).verify(body, headers) as RelayEvent[]
    return events.map(({ id }) => id)
  })

it('a batch that is full goes at once, and the rest waits for more', async () => {
  const { webhook } = await follow(60)
  const events = many(150)
  for (let i = 0; i < events.length; i += 25) await stage.append(...events.slice(i, i + 25))
  await until(async () => (await countsOf(webhook)).delivered === 128)
  // A change of some record has the dispatcher look at its outbox.
  const other = await stage.register(receiver.url, { filter: { name: ['other'] } })
  await stage.append(podEvent('other'))
  await until(async () => (await countsOf(other)).delivered === 1)
  expect(await countsOf(webhook)).toMatchObject({ accepted: 150, pending: 22 })
  const ids = events.map(({ id }) => id)
  const full = receiver.received.filter(({ headers }) => headers['content-type']?.includes('batch'))
  receiver.received.splice(0, receiver.received.length, ...full)
  expect(batchesOf(webhook)).toEqual([ids.slice(0, 64), ids.slice(64, 128)])
})

it('a batch goes when its time is over, and never before', async () => {
  const { webhook } = await follow(1)
  const events = many(4)
  for (const event of events) await stage.append(event)
  await until(async () => (await countsOf(webhook)).delivered === 4)
  expect(batchesOf(webhook).flat()).toEqual(events.map(({ id }) => id))
  const [first] = (await stage.ledger.list(webhook.id, { limit: 4 })).reverse()
  // Timers count by another clock than dates.
  expect((first?.attempts[0]?.at ?? 0) - (first?.acceptedAt ?? 0)).toBeGreaterThan(950)
  await stage.append(podEvent('web-next'))
  await until(async () => (await countsOf(webhook)).delivered === 5)
})

it('a batch whose dispatcher is gone is sent by the next one, whole', async () => {
  const { webhook, dispatcher } = await follow(60)
  const events = many(6)
  for (const event of events) await stage.append(event)
  await until(async () => (await countsOf(webhook)).accepted === 6)
  await dispatcher.stop()
  expect(await countsOf(webhook)).toMatchObject({ pending: 6 })
  stage.dispatcher()
  await until(async () => (await countsOf(webhook)).delivered === 6)
  expect(batchesOf(webhook)).toEqual([events.map(({ id }) => id)])
  expect(await stage.redis.hlen(stage.keys.own('dispatch', 'outbox'))).toBe(0)
})

it('a batch of a webhook that is to wait no longer goes with the next event', async () => {
  const { webhook } = await follow(60)
  const events = many(3)
  await stage.append(...events.slice(0, 2))
  await until(async () => (await countsOf(webhook)).accepted === 2)
  await stage.store.update(webhook.id, ({ batchSeconds: _, ...rest }) => rest)
  await stage.append(...events.slice(2))
  await until(async () => (await countsOf(webhook)).delivered === 3)
  expect(batchesOf(webhook).flat()).toEqual(events.map(({ id }) => id))
})
