import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { startReceiver } from './receiver.ts'
import { createStage, podEvent, until } from './stage.ts'

let server: TestRedis

beforeAll(async () => {
  server = await startTestRedis()
})
afterAll(() => server.stop())

const schedule = Array.from({ length: 30 }, (_, n) => (n === 0 ? 0 : 5))
const finished = (of: Awaited<ReturnType<typeof createStage>>, id: string, count: number) =>
  until(async () => {
    const counts = await of.ledger.counts(id)
    return counts.accepted === count && counts.pending === 0 && counts
  })

describe('order by object', () => {
  it('starts the next only after the one before ended, whatever fails, and holds up no other object', async () => {
    const objects = fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 60 })
    const failures = fc.array(fc.boolean(), { minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(objects, failures, fc.nat(7), async (list, fails, cut) => {
        const stage = await createStage(server.url)
        const flying = new Set<string>()
        const overlaps: string[] = []
        const receiver = await startReceiver((response, count, request) => {
          const object = String(request.headers['webhook-id']).split('__')[1] ?? ''
          if (flying.has(object)) overlaps.push(object)
          flying.add(object)
          setTimeout(() => {
            flying.delete(object)
            response.writeHead(fails[count % fails.length] && count % 3 < 2 ? 500 : 200).end()
          }, count % 3)
        })
        const webhook = await stage.register(receiver.url, { ordering: 'object' })
        stage.dispatcher()
        stage.deliverer({ schedule })
        const events = list.map((n) => podEvent(`web-${n}`))
        for (let i = 0; i < events.length; i += cut + 1) await stage.append(...events.slice(i, i + cut + 1))
        const counts = await finished(stage, webhook.id, list.length)
        expect(counts).toMatchObject({ delivered: list.length })
        expect(overlaps).toEqual([])
        for (const n of new Set(list)) {
          const ids = receiver.received.map(({ headers }) => headers['webhook-id'] ?? '')
          const own = ids.filter((id) => id.startsWith(`test__web-${n}-uid__`))
          const expected = events.filter(({ subject }) => subject === `shop/web-${n}`).map(({ id }) => id)
          // Repetitions of one event follow each other.
          const order = own.filter((id, i) => id !== own[i - 1])
          expect(order).toEqual(expected.map((id) => id.replaceAll('/', '__')))
        }
        const lines = stage.keys.own('ledger', webhook.id)
        // The last job leaves its line after the end of its last delivery.
        await until(async () => (await stage.redis.exists(`${lines}:lines`, `${lines}:locks`)) === 0)
        await stage.close()
        await receiver.close()
      }),
      { numRuns: 6 },
    )
  })

  it('holds the next back while the one before waits for its retry', async () => {
    const stage = await createStage(server.url)
    const receiver = await startReceiver((response, _, request) => {
      response.writeHead(request.headers['webhook-id']?.includes('slow') ? 500 : 200).end()
    })
    const webhook = await stage.register(receiver.url, { ordering: 'object' })
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 60_000] })
    await stage.append(podEvent('slow'), podEvent('slow'), podEvent('fast'))
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 1)
    await stage.append(podEvent('slow'), podEvent('fast'))
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 2)
    expect(receiver.received.filter(({ headers }) => headers['webhook-id']?.includes('slow'))).toHaveLength(1)
    expect(await stage.ledger.counts(webhook.id)).toMatchObject({ pending: 3 })
    await stage.store.update(webhook.id, (current) => ({ ...current, enabled: false }))
    await stage.close()
    await receiver.close()
  })
})

describe('order latest', () => {
  it('sends the newest state, and ends what waited for nothing as superseded', async () => {
    const stage = await createStage(server.url)
    let release: () => void = () => undefined
    const receiver = await startReceiver((response, count) => {
      if (count > 0) response.end()
      else release = () => response.end()
    })
    const webhook = await stage.register(receiver.url, { ordering: 'latest' })
    stage.dispatcher()
    stage.deliverer()
    const events = Array.from({ length: 40 }, () => podEvent('web'))
    await stage.append(...events.slice(0, 1))
    await until(async () => receiver.received.length === 1)
    for (const event of events.slice(1)) await stage.append(event)
    await until(async () => (await stage.ledger.counts(webhook.id)).accepted === 40)
    release()
    const counts = await finished(stage, webhook.id, 40)
    expect(counts).toMatchObject({ delivered: 2, superseded: 38 })
    expect(JSON.parse(receiver.received[1]?.body ?? '')).toMatchObject({ id: events.at(-1)?.id })
    await stage.close()
    await receiver.close()
  })

  it('replaces what waits for its retry', async () => {
    const stage = await createStage(server.url)
    const receiver = await startReceiver((response, count) => response.writeHead(count === 0 ? 500 : 200).end())
    const webhook = await stage.register(receiver.url, { ordering: 'latest' })
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 60_000] })
    await stage.append(podEvent('web'))
    await until(async () => receiver.received.length === 1)
    await stage.append(podEvent('web'))
    expect(await finished(stage, webhook.id, 2)).toMatchObject({ delivered: 1, superseded: 1 })
    await stage.close()
    await receiver.close()
  })
})
