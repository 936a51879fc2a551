import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, it } from 'vitest'
import type { RelayEvent } from '../../../shared/event.ts'
import { createLogReader } from '../../../shared/log/reader.ts'
import { verifyLedger } from '../../../shared/webhook/verify.ts'
import type { Webhook } from '../../../shared/webhook/webhook.ts'
import { createProgress } from '../../../workers/dispatcher/progress.ts'
import type { Receiver } from '../deliverer/receiver.ts'
import { podEvent, type Stage, until } from '../deliverer/stage.ts'
import { stageEach } from '../deliverer/staged.ts'

let stage: Stage
let receiver: Receiver

const receive = stageEach((fresh) => {
  stage = fresh
})
beforeEach(async () => {
  receiver = await receive()
})

const state = [{ group: '', version: 'v1', resource: 'pods' }]
const pods = (count: number, phase = 'Running') =>
  Array.from({ length: count }, (_, n) => podEvent(`web-${String(n).padStart(4, '0')}`, phase))
const withState = (more: Partial<Webhook> = {}) => stage.register(receiver.url, { state, ...more })
const told = (events: readonly RelayEvent[]) =>
  events.map(({ data }) => `${stage.cluster}/${data.uid}/${data.resourceVersion}-state`)
const listed = async (id: string) => (await stage.ledger.list(id, { limit: 10_000 })).map(({ event }) => event)
const accepted = (id: string, count: number, ms?: number) =>
  until(async () => (await stage.ledger.counts(id)).accepted === count && new Set(await listed(id)), ms)
const verify = (webhook: Webhook) => {
  const reader = createLogReader(stage.redis, stage.keys)
  return verifyLedger({ redis: stage.redis, keys: stage.keys, reader, ledger: stage.ledger }, webhook)
}

describe('a webhook that starts with the state', () => {
  it('is told every object that matches, then every change after it, none twice', async () => {
    const running = pods(450)
    const failed = podEvent('failed', 'Failed')
    await stage.know(...running, failed)
    await stage.change(podEvent('older'))
    const webhook = await withState({ filter: { phase: ['Running'] } })
    stage.dispatcher()
    const later = podEvent('web-0007')
    await stage.change(later, podEvent('web-0008', 'Failed'))
    const events = await until(async () => {
      const found = await listed(webhook.id)
      return found.includes(later.id) || found.some((id) => id === `${told([later])}`) ? found : undefined
    })
    const last = podEvent('last')
    await stage.change(last)
    await until(async () => (await listed(webhook.id)).includes(last.id))
    const all = await listed(webhook.id)
    expect(new Set(all).size).toBe(all.length)
    expect(events).not.toContain(failed.id)
    for (const id of told(running.filter((_, n) => n !== 7 && n !== 8))) expect(all).toContain(id)
    expect(all.filter((id) => id.includes('web-0007'))).toContain(
      [later.id, ...told([later])].find((id) => all.includes(id)),
    )
    expect(await verify(webhook)).toMatchObject({ isBalanced: true, missing: [], told: expect.any(Number) })
  })

  it('is not told again what its state included already', async () => {
    await stage.know(...pods(3))
    const webhook = await withState()
    const changed = podEvent('web-0001')
    await stage.change(changed)
    stage.dispatcher()
    const after = podEvent('web-0001')
    await accepted(webhook.id, 3)
    await stage.change(after)
    const ids = await accepted(webhook.id, 4)
    expect(ids).toContain(told([changed])[0])
    expect(ids).not.toContain(changed.id)
    expect(ids).toContain(after.id)
    const verified = await verify(webhook)
    expect(verified).toMatchObject({ isBalanced: true, told: 3, matched: 1, missing: [] })
    expect(await stage.redis.exists(stage.keys.own('ledger', webhook.id, 'told'))).toBe(0)
  })

  it('is not told it again either when the log begins a new life meanwhile', async () => {
    await stage.know(...pods(3))
    const webhook = await withState()
    const changed = podEvent('web-0001')
    await stage.change(changed)
    await stage.redis.hset(stage.keys.meta, 'epoch', 'another')
    const after = podEvent('web-0002')
    await stage.change(after)
    stage.dispatcher()
    const last = podEvent('web-0001')
    await accepted(webhook.id, 3)
    await stage.change(last)
    const ids = await accepted(webhook.id, 4)
    expect(ids).toEqual(
      new Set([
        `${stage.cluster}/web-0000-uid/${[...ids].find((id) => id.includes('web-0000'))?.split('/')[2]}`,
        ...told([changed, after]),
        last.id,
      ]),
    )
    expect(await verify(webhook)).toMatchObject({ isBalanced: true, told: 3, missing: [] })
  })

  it('goes on where a dispatcher ended, in whatever page that was', async () => {
    const objects = pods(1500)
    for (let i = 0; i < objects.length; i += 100) await stage.know(...objects.slice(i, i + 100))
    const webhook = await withState({ filter: { namespace: ['other', 'shop'] } })
    let leads = 0
    while ((await stage.ledger.counts(webhook.id)).accepted < 1500 && leads++ < 60) {
      const dispatcher = stage.dispatcher()
      await sleep(5 + leads * 2)
      await dispatcher.stop()
    }
    expect(leads).toBeGreaterThan(1)
    stage.dispatcher()
    expect(await accepted(webhook.id, 1500)).toEqual(new Set(told(objects)))
  })

  it('keeps no more bodies than a window of them for an endpoint that takes nothing', async () => {
    const objects = pods(2600)
    for (let i = 0; i < objects.length; i += 200) await stage.know(...objects.slice(i, i + 200))
    const webhook = await withState()
    stage.dispatcher()
    await until(async () => (await stage.ledger.counts(webhook.id)).accepted >= 2000)
    await sleep(600)
    expect((await stage.ledger.counts(webhook.id)).accepted).toBeLessThanOrEqual(2200)
    const other = await stage.register(receiver.url)
    await stage.change(podEvent('new'))
    await accepted(other.id, 1)
    stage.deliverer()
    await accepted(webhook.id, 2601, 40_000)
  })

  it('is sent state and changes of one object in order', async () => {
    await stage.know(...pods(40))
    const webhook = await withState({ ordering: 'object' })
    stage.dispatcher()
    for (let round = 0; round < 3; round++) await stage.change(...pods(40))
    const other = await stage.register(receiver.url, { filter: { name: ['none'] } })
    await until(async () => (await stage.redis.hget(stage.keys.own('dispatch'), `at:${webhook.id}`)) === 'live')
    expect(other.id).not.toBe(webhook.id)
    stage.deliverer()
    await until(async () => (await stage.ledger.counts(webhook.id)).pending === 0)
    const versions = new Map<string, number>()
    for (const { body } of receiver.received) {
      const { data } = JSON.parse(body) as RelayEvent
      expect(Number(data.resourceVersion)).toBeGreaterThan(versions.get(String(data.uid)) ?? 0)
      versions.set(String(data.uid), Number(data.resourceVersion))
    }
    expect(versions.size).toBe(40)
    const bodies = receiver.received.map(({ body }) => JSON.parse(body) as RelayEvent)
    expect(bodies.filter(({ synthetic }) => synthetic === 'state').length).toBe(40)
  })

  it('whose filter changes meanwhile is told by the new one from the beginning, and every change after that', async () => {
    const inside = (namespace: string) => (event: RelayEvent) => ({
      ...event,
      source: event.source.replace('shop', namespace),
      subject: `${namespace}/${event.data.name}`,
      data: { ...event.data, namespace },
    })
    const [early, objects] = [pods(20).map(inside('alpha')), pods(2300)]
    await stage.know(...early)
    for (let i = 0; i < objects.length; i += 200) await stage.know(...objects.slice(i, i + 200))
    const webhook = await withState({ filter: { namespace: ['shop'] } })
    const earlier = inside('alpha')(podEvent('web-0003'))
    await stage.change(earlier)
    stage.dispatcher()
    await until(async () => (await stage.ledger.counts(webhook.id)).accepted >= 2000)
    const { accepted: before } = await stage.ledger.counts(webhook.id)
    expect(before).toBeLessThan(2300)
    await stage.store.update(webhook.id, (current) => ({ ...current, filter: { namespace: ['alpha'] } }))
    const gone = { ...inside('alpha')(podEvent('web-0004')), type: 'k8s.pod.deleted' }
    await stage.change(gone)
    stage.deliverer()
    await until(
      async () =>
        (await listed(webhook.id)).includes(gone.id) &&
        (await stage.redis.hget(stage.keys.own('dispatch'), `at:${webhook.id}`)) === 'live',
      40_000,
    )
    const all = await listed(webhook.id)
    const once = told([...early.filter((_, n) => n !== 3 && n !== 4), earlier])
    expect(all.filter((id) => once.includes(id)).sort()).toEqual(once.sort())
    expect(all).not.toContain(earlier.id)
    expect(await verify(webhook)).toMatchObject({ isBalanced: true, missing: [] })
  })

  it('is not done by a filter that was changed at the very last moment', async () => {
    const webhook = await withState()
    const known = JSON.stringify(await stage.store.get(webhook.id))
    await stage.store.update(webhook.id, (current) => ({ ...current, filter: { phase: ['Failed'] } }))
    const progress = createProgress(stage.redis, stage.keys)
    const claim = await progress.claim('dispatcher', 10_000)
    if (claim.held) throw new Error('held')
    const step = { fence: claim.fence, of: { webhook: webhook.id }, from: undefined, to: 'e-1', jobs: [], admitted: [] }
    expect(await progress.accept({ ...step, record: known })).toBe('conflict')
    expect(await stage.redis.hget(stage.keys.own('dispatch'), `at:${webhook.id}`)).toBeNull()
    const record = JSON.stringify(await stage.store.get(webhook.id))
    expect(await progress.accept({ ...step, record })).toBe('ok')
  })

  it('that is removed meanwhile leaves nothing behind', async () => {
    const objects = pods(2600)
    for (let i = 0; i < objects.length; i += 200) await stage.know(...objects.slice(i, i + 200))
    const webhook = await withState()
    const first = podEvent('web-0001')
    await stage.change(first)
    stage.dispatcher()
    await until(async () => (await stage.ledger.counts(webhook.id)).accepted >= 200)
    await stage.store.remove(webhook.id)
    await stage.register(receiver.url)
    await sleep(1200)
    const names = await stage.redis.keys(`${stage.keys.own('ledger', webhook.id)}*`)
    expect(names).toEqual([stage.keys.own('ledger', webhook.id, 'counts')])
    const fields = await stage.redis.hkeys(stage.keys.own('dispatch'))
    expect(fields.filter((field) => field.includes(webhook.id))).toEqual([])
    expect(stage.lines.filter((line) => line.startsWith('warn'))).toEqual([])
  })
})
