import { describe, expect, it } from 'vitest'
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

const taskDone = (id: unknown, task: unknown) =>
  until(async () => {
    const { body } = await call('GET', `/${id}/tasks/${task}`)
    return body.state !== 'running' && body
  })

describe('a recovery', () => {
  it('sends everything once, although tests, current objects and events share numbers', async () => {
    let isUp = false
    const receiver = await startReceiver((response) => response.writeHead(isUp ? 200 : 500).end())
    const objects = ['a', 'b', 'c'].map((name) => podEvent(name))
    await stage.know(...objects)
    const { body: created } = await call('POST', '', { url: receiver.url, from: 'state', schedule: [0] })
    expect(created).toMatchObject({ startsWithState: true })
    const { id } = created
    stage.dispatcher()
    stage.deliverer()
    await until(async () => (await stage.ledger.counts(String(id))).dead === 3)
    const events = ['a', 'b', 'c'].map((name) => podEvent(name))
    await stage.change(...events)
    await until(async () => (await stage.ledger.counts(String(id))).dead === 6)
    for (let n = 0; n < 2; n++) await call('POST', `/${id}/test`)
    await until(async () => (await stage.ledger.counts(String(id))).dead === 8)
    isUp = true
    const before = receiver.received.length
    const { body: task } = await call('POST', `/${id}/recover?since=2020-01-01T00:00:00Z`)
    expect(await taskDone(id, task.id)).toMatchObject({ state: 'done', accepted: 8, looked: 8 })
    await until(async () => (await stage.ledger.counts(String(id))).delivered === 8)
    const ids = (from: number, to: number) =>
      receiver.received
        .slice(from, to)
        .map(({ headers }) => headers['webhook-id'])
        .sort()
    expect(ids(before, before + 8)).toEqual(ids(0, before))
    const bodies = receiver.received.slice(before).map(({ body }) => JSON.parse(body))
    expect(bodies.filter(({ synthetic }) => synthetic === 'state')).toHaveLength(3)
    // A class of failures, from the start on, means the same.
    const { body: again } = await call('POST', `/${id}/replay`, { from: 'start', errors: ['status'] })
    expect(await taskDone(id, again.id)).toMatchObject({ accepted: 8 })
    const [one] =
      (await call('GET', `/${id}/deliveries?event=${bodies.find(({ synthetic }) => synthetic)?.id}`)).body.items ?? []
    const resent = await call('POST', `/${id}/deliveries/${one?.id}/resend`)
    expect(resent).toMatchObject({ status: 202, body: { eventId: one?.eventId } })
    await until(async () => (await stage.ledger.counts(String(id))).delivered === 17)
    await receiver.close()
  })
})

describe('a task', () => {
  it('is cancelled before it goes on, and cannot be when it is over', async () => {
    const { body: created } = await call('POST', '', { url: 'https://example.com/', from: 'now' })
    const { id } = created
    await stage.append(...Array.from({ length: 20 }, (_, n) => podEvent(`web-${n}`)))
    const { body: task } = await call('POST', `/${id}/replay`, { from: 'start' })
    expect(task).toMatchObject({ kind: 'replay', state: 'running', accepted: 0 })
    expect(await call('POST', `/${id}/tasks/${task.id}/cancel`)).toMatchObject({
      status: 200,
      body: { id: task.id, state: 'cancelled' },
    })
    stage.dispatcher()
    await until(async () =>
      (await stage.redis.hget(stage.keys.own('dispatch'), `task:${task.id}`))?.startsWith('cancelled'),
    )
    expect(await taskDone(id, task.id)).toMatchObject({ state: 'cancelled', accepted: 0, looked: 0 })
    expect((await call('POST', `/${id}/tasks/${task.id}/cancel`)).status).toBe(200)
    const { body: other } = await call('POST', `/${id}/replay`, { from: 'start' })
    expect(await taskDone(id, other.id)).toMatchObject({ state: 'done', accepted: 20 })
    expect((await call('POST', `/${id}/tasks/${other.id}/cancel`)).status).toBe(409)
    expect((await call('POST', `/${id}/tasks/nothing/cancel`)).status).toBe(404)
  })

  it('ends as cancelled when its webhook is turned off', async () => {
    const { body: created } = await call('POST', '', { url: 'https://example.com/' })
    const { id } = created
    await stage.append(podEvent('a'))
    const { body: task } = await call('POST', `/${id}/replay`, { from: 'start' })
    await call('POST', `/${id}/disable`)
    stage.dispatcher()
    expect(await taskDone(id, task.id)).toMatchObject({ state: 'cancelled', accepted: 0 })
  })
})
