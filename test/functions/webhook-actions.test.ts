import { Webhook as Verifier } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { podEvent, type Stage, until } from '../workers/deliverer/stage.ts'
import { stageEach } from '../workers/deliverer/staged.ts'
import { type Call, createWebhookClient } from './webhook-client.ts'

let stage: Stage
let call: Call

const receive = stageEach((fresh) => {
  stage = fresh
  call = createWebhookClient(stage)
})

const create = async (body: object) => {
  const { status, body: created } = await call('POST', '', body)
  expect(status).toBe(201)
  return created
}
const ended = (id: unknown, count: number) =>
  until(async () => {
    const { pending, ...ends } = await stage.ledger.counts(String(id))
    return pending === 0 && ends.accepted === count && ends
  })
const url = 'https://example.com/hook'

describe('a webhook that is registered twice with one key', () => {
  it('is one webhook, answered the same, however many ask at a time', async () => {
    const ask = (body: object, key = 'k1') => call('POST', '', body, { 'idempotency-key': key })
    const answers = await Promise.all([ask({ url }), ask({ url }), ask({ url })])
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1)
    const repeated = await ask({ url })
    expect(repeated).toMatchObject({ status: 201, body: { secret: expect.stringMatching(/^whsec_/) } })
    expect(await ask({ url, description: 'x' })).toMatchObject({ status: 409, body: { field: 'Idempotency-Key' } })
    expect((await ask({ url }, 'k2')).body.id).not.toBe(repeated.body.id)
    await call('DELETE', `/${repeated.body.id}`)
    expect(await ask({ url })).toMatchObject({ status: 409, body: { detail: expect.stringContaining('was removed') } })
    expect((await call('GET', `/${repeated.body.id}`)).status).toBe(404)
  })
})

describe('keys', () => {
  it('are rotated with an overlap, in which both sign', async () => {
    const receiver = await receive()
    const created = await create({ url: receiver.url })
    stage.dispatcher()
    stage.deliverer()
    const { status, body: rotated } = await call('POST', `/${created.id}/rotate-secret`, {})
    expect(status).toBe(200)
    await stage.append(podEvent('a'))
    await ended(created.id, 1)
    const last = await call('POST', `/${created.id}/rotate-secret`, { overlap: 0 })
    await stage.append(podEvent('b'))
    await ended(created.id, 2)
    const [first, second] = receiver.received
    const verify = (secret: unknown, request = first) =>
      new Verifier(String(secret)).verify(request?.body ?? '', request?.headers ?? {})
    for (const secret of [created.secret, rotated.secret]) expect(verify(secret)).toBeTruthy()
    expect(() => verify(last.body.secret)).toThrow()
    expect(verify(last.body.secret, second)).toBeTruthy()
    for (const secret of [created.secret, rotated.secret]) expect(() => verify(secret, second)).toThrow()
  })

  it('of ed25519 are told by their public halves alone', async () => {
    const receiver = await receive()
    const created = await create({ url: receiver.url, signatures: ['v1a', 'v1'] })
    stage.dispatcher()
    stage.deliverer()
    await stage.append(podEvent('a'))
    await ended(created.id, 1)
    const { body } = await call('GET', `/${created.id}/keys`)
    expect(body).toEqual({ keys: [{ publicKey: created.publicKey }] })
    expect(JSON.stringify([created, body])).not.toContain('whsk_')
    const [request] = receiver.received
    const signature = request?.headers['webhook-signature'] ?? ''
    const [v1a = '', v1] = signature.split(' ')
    expect([v1a.slice(0, 4), v1?.slice(0, 3)]).toEqual(['v1a,', 'v1,'])
    const raw = Uint8Array.fromBase64(String(created.publicKey).slice('whpk_'.length))
    const key = await crypto.subtle.importKey('raw', raw, 'Ed25519', false, ['verify'])
    const content = `${request?.headers['webhook-id']}.${request?.headers['webhook-timestamp']}.${request?.body}`
    const bytes = Uint8Array.fromBase64(v1a.slice('v1a,'.length))
    expect(await crypto.subtle.verify('Ed25519', key, bytes, new TextEncoder().encode(content))).toBe(true)
    await call('POST', `/${created.id}/rotate-secret`, { overlap: 60 })
    const { keys } = (await call('GET', `/${created.id}/keys`)).body
    expect(keys).toEqual([
      { publicKey: expect.any(String) },
      { publicKey: created.publicKey, until: expect.stringMatching(/Z$/) },
    ])
  })
})

describe('turning off and on', () => {
  it('tells since when something may be missing, and recovers it', async () => {
    let isUp = false
    const receiver = await receive((response) => response.writeHead(isUp ? 200 : 500).end())
    const { id } = await create({ url: receiver.url })
    stage.dispatcher()
    stage.deliverer({ schedule: [0] })
    const before = Date.now()
    const events = Array.from({ length: 80 }, (_, n) => podEvent(`web-${n}`))
    await stage.append(...events)
    await ended(id, 80)
    expect((await call('GET', `/${id}`)).body.failingSince).toMatch(/Z$/)
    expect((await call('POST', `/${id}/disable`)).body).toMatchObject({ enabled: false })
    for (const path of ['/test', `/recover?since=${new Date(before).toISOString()}`]) {
      expect((await call('POST', `/${id}${path}`)).status).toBe(409)
    }
    const { body } = await call('POST', `/${id}/enable`)
    expect(body).toMatchObject({ enabled: true })
    expect(body).not.toHaveProperty('failingSince')
    isUp = true
    expect(Date.parse(String(body.recoverSince))).toBeGreaterThanOrEqual(before)
    const { status, body: task } = await call('POST', `/${id}/recover?since=${body.recoverSince}`)
    expect([status, task.kind]).toEqual([202, 'recover'])
    expect(await ended(id, 160)).toMatchObject({ dead: 80, delivered: 80 })
    const done = await until(async () => {
      const { body: now } = await call('GET', `/${id}/tasks/${task.id}`)
      return now.state === 'done' && now
    })
    expect(done).toMatchObject({ accepted: 80, looked: 80 })
    expect((await call('GET', `/${id}/tasks`)).body.items).toEqual([done])
    const ids = receiver.received.slice(80).map(({ headers }) => headers['webhook-id'])
    expect(new Set(ids)).toEqual(new Set(events.map((event) => event.id.replaceAll('/', '__'))))
  })

  it('ends at once what waits to be tried again', async () => {
    let isUp = false
    const receiver = await receive((response) => response.writeHead(isUp ? 200 : 500).end())
    const { id } = await create({ url: receiver.url })
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 3_600_000] })
    await stage.append(...['a', 'b', 'c'].map((name) => podEvent(name)))
    await until(async () => (await stage.ledger.list(String(id), { limit: 9 })).filter(({ due }) => due).length === 3)
    const { body } = await call('POST', `/${id}/disable`)
    expect(Date.parse(String(body.disabledAt))).toBeGreaterThan(0)
    expect(body).not.toHaveProperty('disabledReason')
    expect(await ended(id, 3)).toMatchObject({ disabled: 3 })
    const [one] = (await call('GET', `/${id}/deliveries?state=disabled`)).body.items ?? []
    expect(one).toMatchObject({ attempts: [{ status: 500 }], endedAt: expect.any(String) })
    expect(one).not.toHaveProperty('nextAttemptAt')
    const { body: enabled } = await call('POST', `/${id}/enable`)
    expect(enabled).toMatchObject({ enabled: true, recoverable: 3 })
    expect(enabled).not.toHaveProperty('disabledAt')
    isUp = true
    await call('POST', `/${id}/recover?since=${enabled.recoverSince}`)
    expect(await ended(id, 6)).toMatchObject({ disabled: 3, delivered: 3 })
    expect((await call('POST', `/${id}/enable`)).body).toMatchObject({ recoverable: 0 })
  })

  it('by the relay itself is told to the webhooks that ask for it', async () => {
    const gone = await receive((response) => response.writeHead(410).end())
    const receiver = await receive()
    const watcher = await create({ url: receiver.url, filter: { type: ['relay.*'] } })
    const everything = await create({ url: receiver.url })
    const { id } = await create({ url: gone.url, description: 'for the shop' })
    stage.dispatcher()
    stage.deliverer()
    await stage.append(podEvent('web'))
    await ended(watcher.id, 1)
    await ended(everything.id, 1)
    const events = receiver.received.map(({ body }) => JSON.parse(body))
    expect(events.filter(({ type }) => type === 'relay.endpoint.disabled')).toMatchObject([
      { subject: id, data: { webhook: id, reason: 'gone', description: 'for the shop' } },
    ])
  })
})

describe('sending once more', () => {
  it('sends a test, and what was delivered before under the same webhook-id', async () => {
    const receiver = await receive()
    const { id, secret } = await create({ url: receiver.url, filter: { phase: 'Failed' } })
    stage.dispatcher()
    stage.deliverer()
    const test = await call('POST', `/${id}/test`)
    expect(test).toMatchObject({ status: 202, body: { state: 'pending' } })
    await ended(id, 1)
    const [request] = receiver.received
    expect(new Verifier(String(secret)).verify(request?.body ?? '', request?.headers ?? {})).toMatchObject({
      type: 'relay.test',
      cursor: expect.any(String),
    })
    await stage.append(podEvent('web', 'Failed'))
    await ended(id, 2)
    const [first] = (await call('GET', `/${id}/deliveries`)).body.items ?? []
    const again = await call('POST', `/${id}/deliveries/${first?.id}/resend`)
    expect(again).toMatchObject({ status: 202, body: { repeats: first?.id, eventId: first?.eventId } })
    await ended(id, 3)
    await call('POST', `/${id}/deliveries/${test.body.id}/resend`)
    await ended(id, 4)
    const bodies = receiver.received.map(({ headers, body }) => [headers['webhook-id'], body])
    expect(bodies[2]).toEqual(bodies[1])
    expect(bodies[3]).toEqual(bodies[0])
    expect((await call('GET', `/${id}/deliveries/${again.body.id}`)).body).toMatchObject({
      state: 'delivered',
      attempts: [{ status: 200 }],
    })
    expect((await call('GET', `/${id}/deliveries/x-1`)).status).toBe(404)
    expect((await call('POST', `/${id}/deliveries/x-1/resend`)).status).toBe(404)
  })

  it('replays a range by another filter, and a class of failures', async () => {
    const receiver = await receive((response, _, request) => {
      response.writeHead(request.headers['webhook-id']?.includes('bad') ? 500 : 200).end()
    })
    const { id } = await create({ url: receiver.url })
    stage.dispatcher()
    stage.deliverer({ schedule: [0] })
    const events = ['a', 'bad', 'b', 'c'].map((name) => podEvent(name, name === 'c' ? 'Failed' : 'Running'))
    await stage.append(...events)
    await ended(id, 4)
    expect((await call('POST', `/${id}/replay`, { from: 'start', filter: { phase: 'Failed' } })).status).toBe(202)
    await ended(id, 5)
    expect(receiver.received.at(-1)?.headers['webhook-id']).toBe(events[3]?.id.replaceAll('/', '__'))
    await call('POST', `/${id}/replay`, { from: 'start', errors: ['timeout'] })
    await call('POST', `/${id}/replay`, { from: 'start', errors: ['status'] })
    await ended(id, 6)
    expect(receiver.received.at(-1)?.headers['webhook-id']).toBe(events[1]?.id.replaceAll('/', '__'))
    const { cursor } = (await call('GET', `/${id}/deliveries?state=delivered`)).body
    await call('POST', `/${id}/replay`, { from: cursor, to: cursor })
    await until(async () => {
      const { items: tasks = [] } = (await call('GET', `/${id}/tasks`)).body
      return tasks.length === 4 && tasks.every(({ state }) => state === 'done')
    })
    expect(await stage.ledger.counts(String(id))).toMatchObject({ accepted: 6 })
  })

  it.each<[path: string, body: object | undefined, field: string]>([
    ['/replay', {}, 'from'],
    ['/replay', { from: 'now' }, 'from'],
    ['/replay', { from: 'state' }, 'from'],
    ['/replay', { from: 'start', errors: ['x'] }, 'errors.0'],
    ['/replay', { from: 'start', errors: ['dns'], filter: {} }, 'errors'],
    ['/replay', { from: 'start', filter: { phase: 'x' } }, 'filter.phase'],
    ['/replay', { from: 'start', to: 'state' }, 'to'],
    ['/recover', undefined, 'since'],
    ['/recover?since=2999-01-01T00:00:00Z', undefined, 'since'],
    ['/recover?since=yesterday', undefined, 'since'],
    ['/rotate-secret', { overlap: -1 }, 'overlap'],
  ])('refuses %s with %j', async (path, body, field) => {
    const { id } = await create({ url })
    expect(await call('POST', `/${id}${path}`, body)).toMatchObject({ status: 400, body: { field } })
  })
})

describe('the record of deliveries', () => {
  it('is searched by event, by how it went, and by time', async () => {
    const receiver = await receive((response, _, request) => {
      response.writeHead(request.headers['webhook-id']?.includes('bad') ? 500 : 204).end()
    })
    const { id } = await create({ url: receiver.url })
    stage.dispatcher()
    stage.deliverer({ schedule: [0] })
    const events = ['a', 'bad', 'b', 'bad', 'c'].map((name) => podEvent(name))
    await stage.append(...events)
    await ended(id, 5)
    const find = async (query: string) => {
      const { items = [] } = (await call('GET', `/${id}/deliveries?${query}`)).body
      return items.map(({ eventId }) => events.findIndex((event) => event.id === eventId))
    }
    expect(await find('status=500')).toEqual([3, 1])
    expect(await find('status=status')).toEqual([3, 1])
    expect(await find('status=204&limit=2')).toEqual([4, 2])
    expect(await find(`event=${events[2]?.id}`)).toEqual([2])
    expect(await find('since=2100-01-01T00:00:00Z')).toEqual([])
    expect(await find('until=2100-01-01T00:00:00Z')).toEqual([4, 3, 2, 1, 0])
    const { next } = (await call('GET', `/${id}/deliveries?status=204&limit=2`)).body
    expect(await find(`status=204&limit=2&continue=${next}`)).toEqual([0])
  })

  it('is compared with the log and the filter', async () => {
    const receiver = await receive()
    const { id } = await create({ url: receiver.url, filter: { phase: 'Failed' } })
    stage.dispatcher()
    stage.deliverer()
    await stage.append(...Array.from({ length: 30 }, (_, n) => podEvent('web', n % 3 === 0 ? 'Failed' : 'Running')))
    await ended(id, 10)
    const verify = async () => (await call('GET', `/${id}/verify`)).body
    const found = await verify()
    expect(found).toMatchObject({ isBalanced: true, accepted: 10, delivered: 10, events: 30, matched: 10, missing: [] })
    const [first] = await stage.ledger.list(String(id), { limit: 1 })
    await stage.redis.hdel(stage.keys.own('ledger', String(id)), first?.id ?? '')
    await stage.redis.hincrby(stage.keys.own('ledger', String(id), 'counts'), 'delivered', -1)
    expect(await verify()).toMatchObject({ isBalanced: false, missing: [first?.id] })
    await call('PATCH', `/${id}`, { filter: {} })
    expect(await verify()).toMatchObject({ matched: 0, missing: [] })
  })
})

describe('GET /v1/webhooks/{id}/explain', () => {
  it('names the clause that stopped an event, or what became of it', async () => {
    const receiver = await receive((response) => response.writeHead(500).end())
    const before = podEvent('before', 'Failed')
    await stage.append(before)
    const { id } = await create({ url: receiver.url, filter: { phase: 'Failed', namespace: 'shop' } })
    const explain = async (event: string) =>
      (await call('GET', `/${id}/explain?event=${encodeURIComponent(event)}`)).body
    const [failed, running] = [podEvent('a', 'Failed'), podEvent('b')]
    await stage.append(failed, running)
    expect(await explain(failed.id)).toMatchObject({ verdict: 'not-yet', deliveries: [] })
    stage.dispatcher()
    const deliverer = stage.deliverer({ schedule: [0, 60_000] })
    await until(async () => receiver.received.length === 1)
    const pending = await until(async () => {
      const { body } = await call('GET', `/${id}/explain?event=${encodeURIComponent(failed.id)}`)
      return String(body.detail).includes('next attempt') && body
    })
    expect(pending).toMatchObject({
      event: failed.id,
      verdict: 'pending',
      detail: expect.stringContaining('after 1 attempt: answered 500'),
      deliveries: [{ eventId: failed.id, nextAttemptAt: expect.any(String) }],
    })
    expect(await explain(before.id)).toMatchObject({ verdict: 'before-start' })
    expect(await explain(running.id)).toMatchObject({
      verdict: 'filtered',
      clauses: [
        { clause: 'namespace', passes: true },
        { clause: 'phase', passes: false },
      ],
      deliveries: [],
    })
    const { items = [] } = (await call('GET', `/${id}/deliveries`)).body
    expect(await explain(String(items[0]?.id))).toMatchObject({ event: failed.id, verdict: 'pending' })
    const { cursor } = (await call('GET', '')).body
    expect(await explain(String(cursor))).toMatchObject({ event: running.id, verdict: 'filtered' })
    await call('PATCH', `/${id}`, { filter: {} })
    expect(await explain(running.id)).toMatchObject({ verdict: 'changed' })
    await deliverer.stop()
    await call('POST', `/${id}/disable`)
    expect(await explain(podEvent('c').id).catch(() => ({}))).toMatchObject({ status: 404, field: 'event' })
    expect(await explain(running.id)).toMatchObject({ verdict: 'turned-off' })
    expect(await explain('x-1')).toMatchObject({ status: 400, field: 'event' })
    expect((await call('GET', '/wh_x/explain?event=a/b')).status).toBe(404)
  })
})
