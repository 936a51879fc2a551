import { HTTP } from 'cloudevents'
import { Webhook as Verifier } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import type { Webhook } from '../../../shared/webhook/webhook.ts'
import { encodeBinary, encodeStructured, toBatchId } from '../../../workers/deliverer/content.ts'
import { groupBySize } from '../../../workers/deliverer/group.ts'
import type { LoadedDelivery } from '../../../workers/ledger/work.ts'
import { podEvent, type Stage, until } from './stage.ts'
import { stageEach } from './staged.ts'

let stage: Stage

const startReceiver = stageEach((fresh) => {
  stage = fresh
})

/** What the SDK of CloudEvents reads out of a request. */
function readEvents({ headers, body }: { headers: Record<string, string>; body: string }) {
  const message = { headers, body }
  expect(HTTP.isEvent(message)).toBe(true)
  const read = HTTP.toEvent(message)
  return (Array.isArray(read) ? read : [read]).map((event) => JSON.parse(JSON.stringify(event)) as object)
}

describe('the modes of CloudEvents over HTTP', () => {
  const event = { ...podEvent('web'), cursor: 'a-1', subject: 'shop/grüße "50 %" 🚀\u0007' }
  const text = JSON.stringify(event)

  it.each([
    ['structured', encodeStructured],
    ['binary', encodeBinary],
  ])('%s is what the SDK reads the same event from', (_, encode) => {
    const { body, headers, length } = encode(text)
    expect(length).toBe(body.length)
    const [read] = readEvents({ headers: { ...headers }, body: Buffer.from(body).toString() })
    const { subject, ...rest } = read as typeof event
    // The SDK leaves the percent-encoding of headers to its user.
    expect({ ...rest, subject: encode === encodeBinary ? decodeURIComponent(subject) : subject }).toEqual(event)
  })

  it('puts nothing into a header that the binding does not allow there', () => {
    const { headers } = encodeBinary(text)
    expect(headers['ce-subject']).toBe('shop/gr%C3%BC%C3%9Fe%20%2250%20%25%22%20%F0%9F%9A%80%07')
    for (const value of Object.values(headers)) expect(value).toMatch(/^[\x21-\x7e]+$/)
  })
})

describe('batches', () => {
  it('have an id that only the same events in the same order have', () => {
    const id = toBatchId(['a', 'b'])
    expect(id).toMatch(/^batch_[A-Za-z0-9_-]{43}$/)
    expect(toBatchId(['a', 'b'])).toBe(id)
    expect(new Set([id, toBatchId(['b', 'a']), toBatchId(['a']), toBatchId(['a\nb'])]).size).toBe(4)
  })

  it('are as long as may be, and no longer', () => {
    const deliveries = Array.from({ length: 60 }, (_, n): LoadedDelivery => {
      return { id: `e-${n}`, seq: n, delivery: undefined, event: 'x'.repeat(n === 30 ? 500_000 : 9800) }
    })
    const groups = groupBySize(deliveries)
    expect(groups.flat()).toEqual(deliveries)
    expect(groups.map(({ length }) => length)).toEqual([25, 24, 11])
    expect(groupBySize([])).toEqual([])
  })
})

describe('an endpoint', () => {
  const receive = async (more: Partial<Webhook>, ...options: Parameters<typeof startReceiver>) => {
    const receiver = await startReceiver(...options)
    return { receiver, webhook: await stage.register(receiver.url, more) }
  }

  it('that wants binary mode gets the data alone, signed, and the rest in headers', async () => {
    const { receiver, webhook } = await receive({ content: 'binary' })
    stage.dispatcher()
    stage.deliverer()
    const event = podEvent('web')
    await stage.append(event)
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 1)
    const [request = { headers: {}, body: '' }] = receiver.received
    expect(new Verifier(webhook.secret).verify(request.body, request.headers)).toEqual(event.data)
    expect(readEvents(request)).toEqual([{ ...event, cursor: expect.any(String) }])
  })

  it('that wants batches gets what came together as one, repeated as one, and each event has its own end', async () => {
    const { receiver, webhook } = await receive({ content: 'batch' }, (response, count) =>
      response.writeHead(count < 2 ? 500 : 200).end(),
    )
    const events = Array.from({ length: 150 }, (_, n) => podEvent(`web-${n}`))
    stage.deliverer({ schedule: [0, 20, 20, 20, 20, 20], width: 1 })
    await stage.append(...events)
    stage.dispatcher()
    const counts = await until(async () => {
      const now = await stage.ledger.counts(webhook.id)
      return now.delivered === events.length && now
    })
    expect(counts).toMatchObject({ accepted: 150, pending: 0, dead: 0 })
    const requests = receiver.received.map((request) => {
      new Verifier(webhook.secret).verify(request.body, request.headers)
      const ids = readEvents(request).map((event) => (event as { id: string }).id)
      expect(request.headers['content-type']).toBe('application/cloudevents-batch+json')
      expect(request.headers['webhook-id']).toBe(toBatchId(ids))
      return ids
    })
    expect(requests.every(({ length }) => length <= 64)).toBe(true)
    // Each batch comes whole under one id, however often it comes.
    const batches = new Map(requests.map((ids) => [toBatchId(ids), ids]))
    expect([...batches.values()].flat().sort()).toEqual(events.map(({ id }) => id).sort())
    expect(requests).toHaveLength(batches.size + 2)
    const all = await stage.ledger.list(webhook.id, { limit: 200 })
    for (const { attempts } of all) expect(attempts.at(-1)).toMatchObject({ status: 200 })
  })

  it('that wants batches in order gets one event of an object after the other', async () => {
    const { receiver, webhook } = await receive({ content: 'batch', ordering: 'object' })
    stage.dispatcher()
    stage.deliverer()
    const events = Array.from({ length: 5 }, () => podEvent('web'))
    await stage.append(...events)
    await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 5)
    const ids = receiver.received.flatMap(readEvents).map((event) => (event as { id: string }).id)
    expect(ids).toEqual(events.map(({ id }) => id))
  })
})
