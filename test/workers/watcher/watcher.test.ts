import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../../infra/sandbox/sandbox.ts'
import type { RelayEvent } from '../../../shared/event.ts'
import { createKeys } from '../../../shared/keys.ts'
import type { EndedTerm, LeaseData } from '../../../shared/lease.ts'
import { createStateReader } from '../../../shared/state.ts'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { expireClaims, readCursor, readEvents, startTestWatcher, type TestWatcher } from '../../support/watcher.ts'

let server: TestRedis
let redis: Redis
let sandbox: Sandbox
let cluster: string
let runs = 0
let watchers: TestWatcher[] = []

beforeAll(async () => {
  server = await startTestRedis()
  redis = new Redis(server.url, { maxRetriesPerRequest: null })
  redis.on('error', () => undefined)
})

afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

beforeEach(async () => {
  cluster = `w${++runs}`
  sandbox = await createSandbox({ world: false, keepHistory: true, seed: runs })
})

afterEach(async () => {
  await Promise.all(watchers.map((watcher) => watcher.stop()))
  watchers = []
  await sandbox.stop()
})

function start(resources = 'pods', more: { keepEntries?: number } = {}): TestWatcher {
  const watcher = startTestWatcher({ server: sandbox.url, redisUrl: server.url, cluster, resources, ...more })
  watchers.push(watcher)
  return watcher
}

function putPod(name: string, more: { phase?: string; labels?: Record<string, string>; namespace?: string } = {}) {
  const { phase = 'Pending', labels = {}, namespace = 'shop' } = more
  const old = sandbox.store.get('pods', namespace, name)
  return sandbox.store.put('pods', {
    ...(old ?? {}),
    metadata: { ...(old?.metadata ?? {}), name, namespace, labels },
    spec: { containers: [{ name: 'c', image: 'x', env: [{ name: 'TOKEN', value: 'canary-secret' }] }] },
    status: { phase },
  } as Parameters<typeof sandbox.store.put>[1])
}

const inSync = async (resource = 'pods') => {
  await expect.poll(() => readCursor(redis, cluster, resource), { timeout: 15_000 }).not.toBe('')
}
const events = () => readEvents(redis, cluster)
const caughtUp = async (resource = 'pods') => {
  const last = sandbox.store.history(resource).at(-1)?.resourceVersion ?? 0
  await expect
    .poll(async () => Number(await readCursor(redis, cluster, resource)), { timeout: 20_000 })
    .toBeGreaterThanOrEqual(last)
}
const brief = (event: RelayEvent) =>
  `${event.type.replace('k8s.', '')} ${event.subject}${event.synthetic ? ` ${event.synthetic}` : ''}`

describe('the watcher', () => {
  it('tells of each change once, in order, and not of what was there before', async () => {
    putPod('old')
    start()
    await inSync()
    putPod('web')
    putPod('web', { phase: 'Running' })
    sandbox.store.remove('pods', 'shop', 'web')
    await caughtUp()
    const found = await events()
    expect(found.map(brief)).toEqual(['pod.added shop/web', 'pod.modified shop/web', 'pod.deleted shop/web'])
    expect(found[1]).toMatchObject({
      specversion: '1.0',
      source: `/clusters/${cluster}/api/v1/namespaces/shop/pods`,
      data: { changes: expect.arrayContaining([{ type: 'phase', from: 'Pending', to: 'Running' }]) },
    })
    expect(found[1]?.id).toBe(`${cluster}/${found[1]?.data.uid}/${found[1]?.data.resourceVersion}`)
    expect(JSON.stringify(found)).not.toContain('canary-secret')
    const state = createStateReader(redis, createKeys(cluster))
    expect((await state.page('pods', { limit: 10 })).objects.map(({ key }) => key)).toEqual(['shop/old'])
  })

  it('resumes after a stop: what changed meanwhile is told as it happened', async () => {
    const first = start()
    await inSync()
    putPod('a')
    await caughtUp()
    await first.stop()
    putPod('a', { phase: 'Running' })
    putPod('b')
    sandbox.store.remove('pods', 'shop', 'a')
    start()
    await caughtUp()
    expect((await events()).map(brief)).toEqual([
      'pod.added shop/a',
      'pod.modified shop/a',
      'pod.added shop/b',
      'pod.deleted shop/a',
    ])
  })

  it('R81 R82 R83 R84 finds what changed while it was down and the server no longer tells, and says so', async () => {
    const first = start()
    await inSync()
    for (const name of ['gone', 'again', 'same', 'moved']) putPod(name)
    await caughtUp()
    await first.stop()
    sandbox.store.remove('pods', 'shop', 'gone')
    sandbox.store.remove('pods', 'shop', 'again')
    putPod('again')
    putPod('moved', { phase: 'Failed' })
    putPod('new')
    sandbox.store.compact()
    start()
    await caughtUp()
    const found = (await events()).slice(4)
    expect(found.map(brief)).toEqual([
      'relay.gap pods',
      'pod.deleted shop/again relist',
      'pod.deleted shop/gone relist',
      'pod.added shop/again relist',
      'pod.modified shop/moved relist',
      'pod.added shop/new relist',
    ])
    expect(found[0]?.data).toMatchObject({ reason: 'expired' })
    expect(found[4]?.data.changes).toEqual(expect.arrayContaining([{ type: 'phase', from: 'Pending', to: 'Failed' }]))
    expect(new Set(found.map(({ id }) => id)).size).toBe(found.length)
  })

  it('R56 takes another cluster under the same address for what it is', async () => {
    const first = start()
    await inSync()
    for (let n = 0; n < 30; n++) putPod(`p${n}`)
    await caughtUp()
    await first.stop()
    await sandbox.stop()
    sandbox = await createSandbox({ world: false, keepHistory: true, seed: 999 })
    putPod('other')
    start()
    await expect.poll(async () => (await events()).at(-1)?.subject).toBe('shop/other')
    const found = (await events()).slice(30)
    expect(found[0]?.data).toMatchObject({ reason: 'rewound' })
    expect(found.filter(({ type }) => type === 'k8s.pod.deleted').length).toBe(30)
  })

  it('writes once where two watch, and the other takes over', async () => {
    const first = start()
    await inSync()
    start()
    putPod('a')
    await caughtUp()
    await first.stop()
    putPod('b')
    await caughtUp()
    expect((await events()).map(brief)).toEqual(['pod.added shop/a', 'pod.added shop/b'])
  })

  it('watches single namespaces and selectors, each for itself', async () => {
    const resources = 'pods?namespace=shop pods?namespace=blog&labelSelector=app=web'
    start(resources)
    await expect.poll(() => readCursor(redis, cluster, 'pods?namespace=shop')).not.toBe('')
    await expect.poll(() => readCursor(redis, cluster, 'pods?namespace=blog&labelSelector=app=web')).not.toBe('')
    putPod('a', { namespace: 'shop' })
    putPod('b', { namespace: 'blog', labels: { app: 'web' } })
    putPod('c', { namespace: 'blog' })
    putPod('d', { namespace: 'other' })
    putPod('b', { namespace: 'blog', labels: { app: 'api' } })
    await expect
      .poll(async () => (await events()).map(brief).toSorted())
      .toEqual(['pod.added blog/b', 'pod.added shop/a', 'pod.deleted blog/b'])
  })

  it('loses and doubles nothing while it and Redis are killed again and again', async () => {
    let watcher = start()
    await inSync()
    let random = 7
    const dice = (sides: number) => {
      random = (random * 48_271) % 2_147_483_647
      return random % sides
    }
    for (let round = 0; round < 8; round++) {
      for (let n = 0; n < 60; n++) {
        const name = `p${dice(12)}`
        if (dice(4) === 0) sandbox.store.remove('pods', 'shop', name)
        else putPod(name, { phase: ['Pending', 'Running', 'Failed'][dice(3)] ?? 'Pending' })
        if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, dice(15)))
      }
      if (round % 2 === 0) {
        watcher.crash()
        watchers = []
        await expireClaims(redis, cluster, 'pods')
        watcher = start()
      } else await server.restart()
    }
    await caughtUp()
    const told = (await events()).map(({ data }) => Number(data.resourceVersion))
    const happened = sandbox.store.history('pods').map(({ resourceVersion }) => resourceVersion)
    // A kill of Redis may lose what its append-only file had not yet synced: then an older cursor is resumed from.
    expect([...new Set(told)]).toEqual(happened)
    expect(told.length).toBe(happened.length)
  }, 60_000)
})

describe('the terms of a lease', () => {
  const putLease = (holder: string | null, renewTime: string, durationSeconds = 1) => {
    const old = sandbox.store.get('leases', 'kube-system', 'lock')
    return sandbox.store.put('leases', {
      ...(old ?? {}),
      metadata: { ...(old?.metadata ?? {}), name: 'lock', namespace: 'kube-system' },
      spec: { holderIdentity: holder, leaseDurationSeconds: durationSeconds, renewTime },
    } as Parameters<typeof sandbox.store.put>[1])
  }
  const read = async () => {
    const state = createStateReader(redis, createKeys(cluster))
    const lease = await state.get<LeaseData>('leases.coordination.k8s.io', 'kube-system', 'lock')
    return { lease: lease?.data, terms: (await state.terms<EndedTerm>('kube-system', 'lock')).map(({ term }) => term) }
  }
  const changes = async () => (await events()).flatMap(({ data }) => data.changes.map(({ type }) => type))

  it('are kept: acquired, renewed without an event, released, acquired again', async () => {
    start('leases')
    await inSync('leases')
    putLease('a', 'r1', 60)
    putLease('a', 'r2', 60)
    putLease('a', 'r3', 60)
    putLease('', 'r3', 1)
    putLease('b', 'r4', 60)
    await caughtUp('leases')
    expect(await changes()).toEqual(['acquired', 'released', 'acquired'])
    const { lease, terms } = await read()
    expect(lease).toMatchObject({ holder: 'b', previousHolder: 'a', expired: false })
    expect(terms).toMatchObject([{ holder: 'a', began: 'acquired', ended: 'released', renewals: 2 }])
  })

  it('end by expiry when nobody renews, told once, also across a change of watchers', async () => {
    const first = start('leases')
    await inSync('leases')
    putLease('a', 'r1')
    await expect.poll(changes, { timeout: 10_000 }).toEqual(['acquired', 'expired'])
    const [, expired] = await events()
    expect(expired).toMatchObject({
      type: 'k8s.lease.expired',
      synthetic: 'clock',
      data: { expired: true, holder: 'a' },
    })
    await first.stop()
    start('leases')
    putLease('b', 'r2', 60)
    await caughtUp('leases')
    expect(await changes()).toEqual(['acquired', 'expired', 'transferred'])
    const { terms } = await read()
    expect(terms).toMatchObject([{ holder: 'a', ended: 'expired' }])
  })

  it('do not end by expiry while the API server cannot confirm it', async () => {
    start('leases')
    await inSync('leases')
    putLease('a', 'r1')
    await caughtUp('leases')
    await sandbox.stop()
    await new Promise((resolve) => setTimeout(resolve, 2500))
    expect(await changes()).toEqual(['acquired'])
    sandbox = await createSandbox({ world: false })
  })
})
