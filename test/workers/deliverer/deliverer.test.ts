import { Webhook as Verifier } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { createSecretBox } from '../../../shared/webhook/secret.ts'
import { encryptionKey, podEvent, type Stage, until } from './stage.ts'
import { stageEach } from './staged.ts'

let stage: Stage

const receive = stageEach((fresh) => {
  stage = fresh
})

const deliveriesOf = (id: string) => stage.ledger.list(id, { limit: 200 })
const settled = (id: string, count = 1) =>
  until(async () => {
    const all = await deliveriesOf(id)
    return all.length === count && all.every(({ state }) => state !== 'pending') && all
  })

describe('delivery', () => {
  it('sends what matches, signed so that the standard library verifies it, and records it', async () => {
    const receiver = await receive()
    const webhook = await stage.register(receiver.url, { filter: { phase: ['Failed'] } })
    stage.dispatcher()
    stage.deliverer()
    const event = podEvent('web', 'Failed')
    await stage.append(podEvent('web', 'Running'), event)
    const [delivery] = await settled(webhook.id)
    expect(delivery).toMatchObject({ state: 'delivered', event: event.id, attempts: [{ status: 200, response: 'ok' }] })
    const [request] = receiver.received
    expect(receiver.received).toHaveLength(1)
    const body = request?.body ?? ''
    expect(new Verifier(webhook.secret).verify(body, request?.headers ?? {})).toEqual({
      ...event,
      cursor: expect.stringContaining(`${delivery?.id}-`),
    })
    expect(request?.headers).toMatchObject({
      'content-type': 'application/cloudevents+json',
      'user-agent': 'kube-watch-relay/test',
      'webhook-id': event.id.replaceAll('/', '__'),
    })
    expect(await stage.ledger.counts(webhook.id)).toMatchObject({ accepted: 1, delivered: 1, pending: 0 })
  })

  it('repeats what fails under the same webhook-id until it is taken', async () => {
    const receiver = await receive((response, count) => response.writeHead(count < 2 ? 500 : 204).end())
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 30, 30, 30] })
    await stage.append(podEvent('web'))
    const [delivery] = await settled(webhook.id)
    expect(delivery?.attempts.map(({ status, error }) => [status, error])).toEqual([
      [500, 'status'],
      [500, 'status'],
      [204, undefined],
    ])
    expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
    expect(delivery).not.toHaveProperty('due')
  })

  it('ends in the dead letters when the schedule does', async () => {
    const receiver = await receive((response) => response.writeHead(302, { location: '/elsewhere' }).end('moved'))
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 10, 10] })
    await stage.append(podEvent('web'))
    const [delivery] = await settled(webhook.id)
    expect(delivery).toMatchObject({ state: 'dead', reason: 'exhausted' })
    expect(delivery?.attempts.map(({ error }) => error)).toEqual(['redirect', 'redirect', 'redirect'])
    expect(receiver.received).toHaveLength(3)
  })

  it('disables an endpoint that answers 410, and ends what waits for it', async () => {
    const receiver = await receive((response) => response.writeHead(410).end())
    const webhook = await stage.register(receiver.url)
    stage.deliverer({ width: 1 })
    stage.dispatcher()
    await stage.append(podEvent('a'), podEvent('b'), podEvent('c'))
    const all = await settled(webhook.id, 3)
    expect(all.map(({ state }) => state)).toEqual(['disabled', 'disabled', 'disabled'])
    expect(receiver.received).toHaveLength(1)
    expect(await stage.store.get(webhook.id)).toMatchObject({ enabled: false, disabledReason: 'gone' })
  })

  it('waits as long as Retry-After asks', async () => {
    const receiver = await receive((response, count) =>
      count === 0 ? response.writeHead(503, { 'retry-after': '1' }).end() : response.end(),
    )
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 10] })
    await stage.append(podEvent('web'))
    await settled(webhook.id)
    const [first, second] = receiver.received
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(950)
  })

  it.each([429, 502, 503, 504])('leaves an endpoint alone that answers %i, at no cost of attempts', async (status) => {
    const receiver = await receive((response, count) => response.writeHead(count === 0 ? status : 200).end())
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 10], width: 1 })
    await stage.append(podEvent('a'), podEvent('b'), podEvent('c'))
    const all = await settled(webhook.id, 3)
    expect(all.map(({ state, attempts }) => [state, attempts.length]).sort()).toEqual([
      ['delivered', 1],
      ['delivered', 1],
      ['delivered', 2],
    ])
    const [first, second] = receiver.received
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(950)
    expect(await stage.redis.hgetall(stage.keys.own('webhooks', 'health'))).toEqual({})
  })

  it('turns an endpoint off that took nothing for long, and counts from its last success', async () => {
    let isUp = true
    let clock = Date.now()
    const receiver = await receive((response) => response.writeHead(isUp ? 200 : 500).end())
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ schedule: [0], disableAfter: 60_000, now: () => clock })
    const fail = async (count: number) => {
      isUp = false
      await stage.append(podEvent('web'))
      await settled(webhook.id, count)
    }
    await fail(1)
    clock += 59_000
    isUp = true
    await stage.append(podEvent('web'))
    await settled(webhook.id, 2)
    clock += 2000
    await fail(3)
    expect((await stage.store.get(webhook.id))?.enabled).toBe(true)
    clock += 60_000
    await fail(4)
    expect(await stage.store.get(webhook.id)).toMatchObject({ enabled: false, disabledReason: 'failing' })
  })

  it("follows the webhook's own schedule, and sends its headers and only its fields", async () => {
    const receiver = await receive((response) => response.writeHead(500).end())
    const more = { schedule: [0, 10, 10, 10], fields: ['phase'] }
    const webhook = await stage.register(receiver.url, more)
    const sealed = await createSecretBox(encryptionKey).seal('shop', webhook.id)
    await stage.store.update(webhook.id, (current) => ({ ...current, headers: { 'x-team': sealed } }))
    stage.dispatcher()
    stage.deliverer({ schedule: [0] })
    await stage.append(podEvent('web'))
    const [delivery] = await settled(webhook.id)
    expect(delivery).toMatchObject({ state: 'dead', attempts: [{}, {}, {}, {}] })
    const [request] = receiver.received
    expect(request?.headers).toMatchObject({ 'x-team': 'shop' })
    expect(Object.keys(JSON.parse(request?.body ?? '').data).sort()).toEqual(
      ['name', 'namespace', 'phase', 'resourceVersion', 'uid'].sort(),
    )
  })

  it('gives up what the log no longer has', async () => {
    const webhook = await stage.register('http://127.0.0.1:1/')
    stage.dispatcher()
    await stage.append(podEvent('web'))
    await until(async () => (await deliveriesOf(webhook.id)).length === 1)
    await stage.redis.xtrim(stage.keys.log, 'MAXLEN', 0)
    stage.deliverer()
    const [delivery] = await settled(webhook.id)
    expect(delivery).toMatchObject({ state: 'dead', reason: 'trimmed', attempts: [] })
  })

  it('forgets the waiting deliveries of a webhook that is removed', async () => {
    const receiver = await receive()
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    await stage.append(podEvent('web'))
    await until(async () => (await deliveriesOf(webhook.id)).length === 1)
    await stage.store.remove(webhook.id)
    stage.deliverer()
    const other = await stage.register(receiver.url)
    await stage.append(podEvent('web'))
    await settled(other.id)
    expect(receiver.received).toHaveLength(1)
    expect(await stage.ledger.counts(webhook.id)).toMatchObject({ accepted: 1, skipped: 1, pending: 0 })
    expect(await deliveriesOf(webhook.id)).toEqual([])
  })

  it('keeps the newest ended deliveries and counts them all', async () => {
    const receiver = await receive()
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ keep: 5 })
    await stage.append(...Array.from({ length: 20 }, (_, n) => podEvent(`web-${n}`)))
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 20)
    const kept = await deliveriesOf(webhook.id)
    expect(kept.length).toBe(5)
    expect(await stage.redis.hlen(stage.keys.own('ledger', webhook.id))).toBe(5)
  })

  it('puts jobs in the queue that hold neither bodies nor secrets, and takes them out when they are done', async () => {
    const webhook = await stage.register('http://127.0.0.1:1/secret-path')
    stage.dispatcher()
    const event = podEvent('web')
    await stage.append(event)
    await until(async () => (await deliveriesOf(webhook.id)).length === 1)
    const names = await until(async () => {
      const found = await stage.redis.keys(`${stage.keys.own('bull')}:deliveries:wh_*`)
      return found.length > 0 && found
    })
    const job = JSON.stringify(await stage.redis.hgetall(names[0] ?? ''))
    expect(job).not.toContain(event.id)
    expect(job).not.toContain('secret')
    stage.deliverer({ schedule: [0] })
    await settled(webhook.id)
    await until(async () => (await stage.redis.keys(`${stage.keys.own('bull')}:deliveries:wh_*`)).length === 0)
  })

  it('lets an endpoint that never answers hold up no other', async () => {
    const silent = await receive(() => undefined)
    const receiver = await receive()
    const dead = await stage.register(silent.url)
    const webhook = await stage.register(receiver.url)
    stage.dispatcher()
    stage.deliverer({ concurrency: 8, deadline: 10_000, grace: 0 })
    // One job each, and five times as many for the silent endpoint as there are places.
    for (let n = 0; n < 40; n++) {
      await stage.append(podEvent(`web-${n}`))
      await until(async () => (await stage.ledger.counts(webhook.id)).delivered === n + 1, 3000)
    }
    expect(await stage.ledger.counts(dead.id)).toMatchObject({ accepted: 40, pending: 40 })
    expect(silent.received.length).toBeLessThan(8)
  })
})
