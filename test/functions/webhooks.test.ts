import { describe, expect, it } from 'vitest'
import { createLogReader } from '../../shared/log/reader.ts'
import { formatPosition } from '../../shared/position.ts'
import { startReceiver } from '../workers/deliverer/receiver.ts'
import { podEvent, type Stage, until } from '../workers/deliverer/stage.ts'
import { stageEach } from '../workers/deliverer/staged.ts'
import { type Call, createWebhookClient } from './webhook-client.ts'

let stage: Stage
let call: Call

stageEach((fresh) => {
  stage = fresh
  call = createWebhookClient(stage)
})

const url = 'https://example.com/hook'
const create = async (body: object = { url }) => (await call('POST', '', body)).body

describe('POST /v1/webhooks', () => {
  it('answers with the id, where it is, and this once the secret', async () => {
    const input = { url, filter: { resource: ['pods'], 'phase.to': 'Failed' }, description: 'for the shop' }
    const { status, headers, body } = await call('POST', '', input)
    expect(status).toBe(201)
    expect(headers.get('location')).toBe(`/v1/webhooks/${body.id}`)
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).toMatchObject({
      url,
      filter: { resource: ['pods'], 'phase.to': ['Failed'] },
      description: 'for the shop',
      enabled: true,
    })
    expect(body.secret).toMatch(/^whsec_/)
    const secret = String(body.secret)
    const answers = [
      await call('GET', ''),
      await call('GET', `/${body.id}`),
      await call('PATCH', `/${body.id}`, { description: null }),
      await call('GET', `/${body.id}/deliveries`),
    ]
    for (const answer of answers) {
      expect(answer.status).toBe(200)
      expect(JSON.stringify(answer.body)).not.toMatch(/secret|sealed|whsec/)
    }
    expect(JSON.stringify(await stage.redis.hgetall(stage.keys.webhooks))).not.toContain(secret)
  })

  it.each<[body: unknown, field: string]>([
    [{}, 'url'],
    [{ url: 7 }, 'url'],
    [{ url: '' }, 'url'],
    [{ url: 'example.com' }, 'url'],
    [{ url: 'https://10.0.0.1/' }, 'url'],
    [{ url: 'https://2852039166/' }, 'url'],
    [{ url: 'https://[::ffff:a9fe:a9fe]/' }, 'url'],
    [{ url: 'https://user:pass@example.com/' }, 'url'],
    [{ url, filter: { phase: ['Broken'] } }, 'filter.phase'],
    [{ url, filter: { colour: 'red' } }, 'filter.colour'],
    [{ url, filter: { labelSelector: 'a in (' } }, 'filter.labelSelector'],
    [{ url, filter: [] }, 'filter'],
    [{ url, filter: null }, 'filter'],
    [{ url, description: 1 }, 'description'],
    [{ url, description: 'a'.repeat(1001) }, 'description'],
    [{ url, colour: 'red' }, 'colour'],
    [{ url, secret: 'whsec_x' }, 'secret'],
    [{ url, from: 'yesterday' }, 'from'],
    [{ url, from: '2026-99-99T00:00:00Z' }, 'from'],
    [{ url, filter: { resource: ['jobs'] } }, 'filter.resource'],
    [{ url, ordering: 'random' }, 'ordering'],
    [{ url, schedule: [] }, 'schedule'],
    [{ url, schedule: [-1] }, 'schedule.0'],
    [{ url, fields: ['__proto__'] }, 'fields.0'],
    [{ url, headers: { host: 'x' } }, 'headers.host'],
    [{ url, headers: { 'webhook-id': 'x' } }, 'headers.webhook-id'],
    [{ url, headers: { 'content-length': '1' } }, 'headers.content-length'],
    [{ url, headers: { 'x-team': 'a\r\nhost: b' } }, 'headers.x-team'],
    [{ url, headers: { 'x team': 'a' } }, 'headers.x team'],
    [{ url, signatures: [] }, 'signatures'],
    [[], 'body'],
  ])('refuses %j and names %s', async (body, field) => {
    const answer = await call('POST', '', body)
    expect(answer.status).toBe(400)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    expect(answer.body).toMatchObject({ status: 400, field })
  })

  it('refuses a body that is no JSON, or says that it is something else', async () => {
    expect((await call('POST', '')).status).toBe(400)
  })

  it('refuses more than one owner may have, and takes the next when one was removed', async () => {
    const { id } = await create()
    const text = String(await stage.redis.hget(stage.keys.webhooks, String(id)))
    const copies = Array.from({ length: 999 }, (_, n) => [`wh_${n}`, text.replace(String(id), `wh_${n}`)])
    await stage.redis.hset(stage.keys.webhooks, ...copies.flat())
    expect(await call('POST', '', { url })).toMatchObject({
      status: 422,
      body: { detail: expect.stringContaining('1000') },
    })
    expect((await call('DELETE', '/wh_7')).status).toBe(204)
    expect((await call('POST', '', { url })).status).toBe(201)
  })

  it('begins where it is told to', async () => {
    await stage.append(podEvent('a'), podEvent('b'), podEvent('c'))
    const { cursor } = (await call('GET', '')).body
    const { epoch, seal } = await createLogReader(stage.redis, stage.keys).bounds()
    const [oldest, second] = [0, 2].map((seq) => seal.toCursor({ epoch, seq }))
    expect((await create()).start).toBe(cursor)
    expect((await create({ url, from: 'start' })).start).toBe(oldest)
    expect((await create({ url, from: second })).start).toBe(second)
    expect((await create({ url, from: '2020-01-01T00:00:00Z' })).start).toBe(oldest)
    const gone = await call('POST', '', { url, from: 'another-2-00000000' })
    expect(gone).toMatchObject({ status: 410, body: { oldest } })
    // The seal of one place under the number of another.
    const forged = `${epoch}-3-${String(second).slice(-8)}`
    expect(await call('POST', '', { url, from: forged })).toMatchObject({ status: 400, body: { field: 'from' } })
    const { id } = await create({ url })
    for (const range of [{ from: forged }, { from: 'start', to: forged }]) {
      const refused = await call('POST', `/${id}/replay`, range)
      expect(refused.status).toBe(400)
      expect(String(refused.body.detail)).toContain('was not given by this relay')
    }
  })
})

describe('POST /v1/webhooks?dryRun=true', () => {
  it('tells what would have been sent in the last hour, and registers nothing', async () => {
    await stage.append(podEvent('a', 'Failed'), podEvent('b'), podEvent('c', 'Failed'))
    const input = { url, filter: { phase: 'Failed' }, from: 'start' }
    const { status, body } = await call('POST', '?dryRun=true', input, { 'idempotency-key': 'k' })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      url,
      filter: { phase: ['Failed'] },
      history: { looked: 3, matched: 2, isComplete: true, latest: [{ subject: 'shop/a' }, { subject: 'shop/c' }] },
    })
    expect((await call('GET', '')).body.items).toEqual([])
    // Nor was the key used up.
    expect((await call('POST', '?dryRun=false', { url }, { 'idempotency-key': 'k' })).status).toBe(201)
  })

  it.each<[body: object, field: string]>([
    [{ url: 'https://10.0.0.1/' }, 'url'],
    [{ url, filter: { resource: ['jobs'] } }, 'filter.resource'],
    [{ url, filter: { where: 'data.' } }, 'filter.where'],
    [{ url, from: 'yesterday' }, 'from'],
  ])('refuses %j as a registration does', async (body, field) => {
    expect(await call('POST', '?dryRun=true', body)).toMatchObject({ status: 400, body: { field } })
    expect(await call('POST', '?dryRun=yes', { url })).toMatchObject({ status: 400, body: { field: 'dryRun' } })
  })
})

describe('webhooks', () => {
  it('are listed oldest first, in pages', async () => {
    const ids = []
    for (let n = 0; n < 5; n++) {
      ids.push((await create()).id)
      // Ids made in the same millisecond are in no order.
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    const first = (await call('GET', '?limit=3')).body
    expect(first.items?.map(({ id }) => id)).toEqual(ids.slice(0, 3))
    const second = (await call('GET', `?limit=3&continue=${first.next}`)).body
    expect(second.items?.map(({ id }) => id)).toEqual(ids.slice(3))
    expect(second).not.toHaveProperty('next')
    expect(typeof first.cursor).toBe('string')
  })

  it('change only in what the request names', async () => {
    const { secret: _, ...created } = await create({ url, description: 'old', filter: { phase: 'Failed' } })
    const off = await call('PATCH', `/${created.id}`, { enabled: false })
    expect(off.body).toEqual({ ...created, enabled: false, disabledAt: expect.any(String) })
    const moved = await call('PATCH', `/${created.id}`, { url: 'https://example.org/', filter: {}, description: null })
    const { description: __, ...rest } = off.body
    expect(moved.body).toEqual({ ...rest, enabled: false, url: 'https://example.org/', filter: {} })
    expect((await call('GET', `/${created.id}`)).body).toEqual(moved.body)
  })

  it('are changed by who has seen their last version only, where that is asked for', async () => {
    const created = await call('POST', '', { url })
    const path = `/${created.body.id}`
    const tag = String(created.headers.get('etag'))
    expect((await call('GET', path)).headers.get('etag')).toBe(tag)
    const changed = await call('PATCH', path, { description: 'a' }, { 'if-match': tag })
    expect(changed.status).toBe(200)
    const lost = await call('PATCH', path, { description: 'b' }, { 'if-match': `W/${tag}, ${tag}` })
    expect(lost).toMatchObject({ status: 412, body: { field: 'If-Match' } })
    expect((await call('DELETE', path, undefined, { 'if-match': tag })).status).toBe(412)
    expect((await call('GET', path)).body).toMatchObject({ description: 'a' })
    const tags = `"x", ${changed.headers.get('etag')}`
    expect((await call('PATCH', path, { description: 'c' }, { 'if-match': tags })).status).toBe(200)
    expect((await call('DELETE', path, undefined, { 'if-match': '*' })).status).toBe(204)
  })

  it.each<[body: object, field: string]>([
    [{ url: 'https://127.0.0.1.evil:99/' }, 'url'],
    [{ url: 'https://192.168.0.1/' }, 'url'],
    [{ filter: { phase: 'x' } }, 'filter.phase'],
    [{ enabled: 'yes' }, 'enabled'],
    [{ id: 'x' }, 'id'],
  ])('are not changed by %j', async (body, field) => {
    const created = await create()
    expect(await call('PATCH', `/${created.id}`, body)).toMatchObject({ status: 400, body: { field } })
  })

  it('lose the reason for which they were turned off when they are turned on again', async () => {
    const { id } = await create()
    await stage.store.update(String(id), (webhook) => ({ ...webhook, enabled: false, disabledReason: 'gone' }))
    expect((await call('PATCH', `/${id}`, { description: 'x' })).body).toMatchObject({ disabledReason: 'gone' })
    expect((await call('PATCH', `/${id}`, { enabled: true })).body).not.toHaveProperty('disabledReason')
  })

  it('are gone when they are removed', async () => {
    const { id } = await create()
    const removed = await call('DELETE', `/${id}`)
    expect(removed).toMatchObject({ status: 204, body: {} })
    for (const [method, path] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['GET', '/deliveries'],
    ] as const) {
      const answer = await call(method, `/${id}${path}`, method === 'PATCH' ? { enabled: true } : undefined)
      expect(answer).toMatchObject({ status: 404, body: { type: 'urn:kube-watch-relay:problem:not_found' } })
    }
    expect(await stage.redis.keys(`${stage.keys.own('ledger', String(id))}*`)).toEqual([])
  })
})

describe('GET /v1/webhooks/{id}/deliveries', () => {
  it('lists what was sent, newest first, by state and in pages', async () => {
    const receiver = await startReceiver((response, _, request) => {
      response.writeHead(request.headers['webhook-id']?.includes('bad') ? 500 : 200).end('seen')
    })
    stage.dispatcher()
    stage.deliverer({ schedule: [0, 60_000] })
    const { id } = await create({ url: receiver.url })
    const events = ['a', 'bad', 'b', 'c'].map((name) => podEvent(name))
    await stage.append(...events)
    const list = async (query = '') => (await call('GET', `/${id}/deliveries${query}`)).body
    await until(async () => {
      const { items = [] } = await list()
      return items.length === 4 && items.every(({ attempts }) => Array.isArray(attempts) && attempts.length === 1)
    })
    const all = await list()
    expect(all.items?.map(({ eventId }) => eventId)).toEqual(events.map((event) => event.id).reverse())
    expect(all.items?.[0]).toMatchObject({
      state: 'delivered',
      attempts: [{ status: 200, response: 'seen', at: expect.stringMatching(/Z$/), latencyMs: expect.any(Number) }],
    })
    const { items: waiting } = await list('?state=pending')
    expect(waiting).toHaveLength(1)
    expect(waiting?.[0]).toMatchObject({ eventId: events[1]?.id, attempts: [{ status: 500, error: 'status' }] })
    expect(Date.parse(String(waiting?.[0]?.nextAttemptAt))).toBeGreaterThan(Date.now() + 50_000)
    const first = await list('?limit=3')
    const second = await list(`?limit=3&continue=${first.next}`)
    expect([...(first.items ?? []), ...(second.items ?? [])]).toEqual(all.items)
    expect(second).not.toHaveProperty('next')
    await receiver.close()
  })

  it.each([
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['state=lost', 'state'],
    ['continue=!', 'continue'],
    ['colour=red', 'colour'],
  ])('refuses ?%s', async (query, field) => {
    const { id } = await create()
    expect(await call('GET', `/${id}/deliveries?${query}`)).toMatchObject({ status: 400, body: { field } })
  })

  it('keeps pages apart where two lives of the log share a number', async () => {
    const webhook = await stage.register(url)
    const keys = stage.keys.own('ledger', webhook.id)
    for (const epoch of ['a', 'b', 'c']) {
      const id = formatPosition({ epoch, seq: 7 })
      const record = { event: epoch, acceptedAt: 0, group: '7' }
      await stage.redis.hset(keys, id, `pending 0 ${JSON.stringify(record)}`)
      await stage.redis.zadd(`${keys}:pending`, 7, id)
    }
    const seen = []
    let next = ''
    for (let page = 0; page < 3; page++) {
      const { body } = await call('GET', `/${webhook.id}/deliveries?limit=1${next}`)
      seen.push(body.items?.[0]?.eventId)
      next = `&continue=${body.next}`
    }
    expect(seen).toEqual(['c', 'b', 'a'])
  })
})
