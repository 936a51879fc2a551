import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createKeys } from '../../shared/keys.ts'
import { createLogReader, type LogReader } from '../../shared/log/reader.ts'
import { type Batch, type Claim, createLogWriter, type LogWriter, type Operation } from '../../shared/log/writer.ts'
import { createStateReader, type StateReader } from '../../shared/state.ts'
import { createLogNetwork } from '../simulation/log-connection.ts'
import { createProcessGate } from '../simulation/process-gate.ts'
import { createRandom } from '../simulation/random.ts'
import { createScheduler, type Scheduler } from '../simulation/scheduler.ts'
import { createSimulatedLog, type Retention } from '../simulation/simulated-log.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

/** One log with two feeds, `pods` and `leases`, however it is kept. */
interface Subject {
  writers: Record<'pods' | 'leases', LogWriter>
  state: StateReader
  reader: LogReader
  /** Ends the server and starts it with the same data. */
  restart(): Promise<void>
  /** Lets so many ms pass. */
  pass(ms: number): Promise<void>
}

const now = Date.now()
let server: TestRedis
let redis: Redis
let runs = 0

beforeAll(async () => {
  server = await startTestRedis({ appendfsync: 'always' })
  redis = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  redis.on('error', () => undefined)
})

afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

function openRedis(retention: Retention): Subject {
  const keys = createKeys(`conformance-${++runs}`)
  const open = (resource: string) => createLogWriter({ redis, keys, feed: resource, resource, ...retention })
  return {
    writers: { pods: open('pods'), leases: open('leases') },
    state: createStateReader(redis, keys),
    reader: createLogReader(redis, keys),
    restart: () => server.restart(),
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }
}

function openModel(retention: Retention): Subject {
  const scheduler = createScheduler(now)
  let epochs = 0
  const log = createSimulatedLog({ now: scheduler.now, createEpoch: () => `epoch${++epochs}`, retention })
  const network = createLogNetwork({ log, scheduler, random: createRandom(1) })
  const gate = createProcessGate(scheduler)
  const store = network.openStore(gate)
  return {
    writers: letTimePass(scheduler, {
      pods: store.openWriter('pods', 'pods'),
      leases: store.openWriter('leases', 'leases'),
    }),
    state: letTimePass(scheduler, { state: store.state }).state,
    reader: letTimePass(scheduler, { reader: createLogReader(network.openClient(gate), createKeys('c')) }).reader,
    async restart() {
      log.restart()
    },
    async pass(ms) {
      await scheduler.pass(ms)
    },
  }
}

/** Lets simulated time go on until each call is answered. */
function letTimePass<T extends Record<string, object>>(scheduler: Scheduler, subjects: T): T {
  const wrap = (subject: object) =>
    new Proxy(subject, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown
        if (typeof member !== 'function') return member
        return (...args: unknown[]) => {
          const answer = member.apply(target, args) as unknown
          if (!(answer instanceof Promise)) return answer
          void scheduler.pass(20)
          return answer
        }
      },
    })
  return Object.fromEntries(Object.entries(subjects).map(([name, subject]) => [name, wrap(subject)])) as T
}

const timeOf = (n: number) => new Date(now - 60_000 + n * 1000).toISOString()
const event = (n: number): Operation => ({ op: 'event', json: `{"id":"${n}","time":"${timeOf(n)}","data":{}}` })
const keepTerms = { count: 2, ms: 3_600_000 }
const term = (holder: string, n: number): Operation => ({
  op: 'term',
  key: 'a/lock',
  holder,
  term: `{"holder":"${holder}","to":"${timeOf(n)}"}`,
  keep: keepTerms,
})

describe.each([
  ['Redis', openRedis],
  ['the model of the simulation', openModel],
])('the log in %s', (_, open) => {
  let subject: Subject
  let pods: LogWriter

  beforeEach(() => {
    subject = open({ keepEntries: 10 })
    pods = subject.writers.pods
  })

  async function claim(owner = 'a', by = pods, leaseMs = 60_000): Promise<Claim> {
    const answer = await by.claim(owner, leaseMs)
    if (answer.held) throw new Error(`held by ${answer.owner}`)
    return answer
  }

  function batchOf({ fence, epoch, batch, seq }: Claim, operations: Operation[], over: Partial<Batch> = {}): Batch {
    return { fence, epoch, batch: batch + 1, seen: seq, resourceVersion: '7', note: 'n', operations, ...over }
  }

  const entries = async () =>
    (await subject.reader.read(0, 100)).map(({ seq, json }) => `${seq} ${JSON.parse(json).id}`)

  it('gives a first writer fence 1, an epoch and nothing else', async () => {
    expect(await claim()).toMatchObject({ fence: '1', seq: 0, batch: 0, resourceVersion: '', note: '' })
  })

  it("keeps a writer's fence while its lease lasts, and refuses others", async () => {
    const mine = await claim()
    expect(await claim()).toMatchObject({ fence: mine.fence, epoch: mine.epoch })
    expect(await pods.claim('b', 1000)).toMatchObject({ held: true, owner: 'a' })
    expect((await claim('b', subject.writers.leases)).epoch).toBe(mine.epoch)
  })

  it('gives a new fence to whoever comes after a release or the end of a lease, be it the same owner', async () => {
    const first = await claim('a', pods, 1)
    await subject.pass(20)
    const second = await claim('a')
    await pods.release(second.fence)
    const third = await claim('b')
    await pods.release(second.fence)
    expect(await pods.claim('c', 1)).toMatchObject({ held: true, owner: 'b' })
    expect([first.fence, second.fence, third.fence]).toEqual(['1', '2', '3'])
  })

  it('appends entries, known set, cursor and note at once', async () => {
    const mine = await claim()
    const answer = await pods.append(
      batchOf(mine, [
        event(1),
        { op: 'set', key: 'a/x', record: '{"n":1}' },
        event(2),
        { op: 'set', key: 'a/y', record: '{"kept":5}' },
      ]),
    )
    expect(answer).toEqual({ outcome: 'ok', from: 1, to: 2 })
    expect(await claim()).toMatchObject({ seq: 2, batch: 1, resourceVersion: '7', note: 'n' })
    expect(await entries()).toEqual(['1 1', '2 2'])
    const page = await subject.state.page('pods', { limit: 10 })
    expect(page).toEqual({
      position: { epoch: mine.epoch, seq: 2 },
      objects: [
        { key: 'a/x', seq: 1, data: { n: 1 } },
        { key: 'a/y', seq: 2, data: {}, kept: 5 },
      ],
    })
    await pods.append(batchOf({ ...mine, batch: 1 }, [{ op: 'delete', key: 'a/x' }]))
    expect(await subject.state.get('pods', 'a', 'x')).toBeUndefined()
    expect(await subject.state.find('pods', ['a/y', 'a/x'])).toMatchObject([{ key: 'a/y' }])
  })

  it('stores a record that travels inside of its event', async () => {
    const mine = await claim()
    const record = '{"name":"web","text":"é \\",\\"data\\":{ 日本 😀"}'
    const json = `{"id":"1","subject":"é","time":"${timeOf(1)}","data":${record.slice(0, -1)},"changes":[]}}`
    const told = { op: 'event', json } as const
    const within = { event: told, bytes: Buffer.byteLength(record) }
    await pods.append(batchOf(mine, [event(0), told, { op: 'set', key: 'a/web', record, within }]))
    expect(await subject.state.get('pods', 'a', 'web')).toEqual({ key: 'a/web', seq: 2, data: JSON.parse(record) })
    const elsewhere = { event: { ...told }, bytes: 1 }
    const next = batchOf({ ...mine, batch: 1 }, [{ op: 'set', key: 'a/web', record: '{"n":1}', within: elsewhere }])
    await pods.append(next)
    expect(await subject.state.get('pods', 'a', 'web')).toMatchObject({ data: { n: 1 } })
  })

  it('takes a batch once, however often it is sent', async () => {
    const batch = batchOf(await claim(), [event(1), event(2)])
    await pods.append(batch)
    expect(await pods.append(batch)).toEqual({ outcome: 'duplicate', from: 1, to: 2 })
    expect(await pods.append({ ...batch, batch: 2, operations: [] })).toEqual({ outcome: 'ok', from: 3, to: 2 })
    expect(await pods.append({ ...batch, batch: 2, operations: [] })).toEqual({ outcome: 'duplicate', from: 3, to: 2 })
    expect(await entries()).toEqual(['1 1', '2 2'])
  })

  it.each<[string, Partial<Batch>]>([
    ['fenced', { fence: '9' }],
    ['fenced', { fence: '9', epoch: 'other', batch: 5 }],
    ['epoch', { epoch: 'other' }],
    ['epoch', { epoch: 'other', batch: 5 }],
    ['conflict', { batch: 3 }],
    ['conflict', { batch: 0, seen: 0 }],
    ['conflict', { seen: 9 }],
  ])('answers "%s" and writes nothing for %j', async (outcome, over) => {
    const mine = await claim()
    await pods.append(batchOf(mine, [event(1)]))
    const next = { ...mine, batch: 1, seq: 1 }
    const isOldBatch = over.batch === 0
    expect(await pods.append(batchOf(next, [event(2)], isOldBatch ? { ...over, batch: 7 } : over))).toEqual({ outcome })
    expect(await entries()).toEqual(['1 1'])
    expect(await claim()).toMatchObject({ batch: 1, seq: 1 })
  })

  it('numbers the entries of two feeds in one sequence', async () => {
    const [one, two] = [await claim(), await claim('a', subject.writers.leases)]
    await pods.append(batchOf(one, [event(1)]))
    await subject.writers.leases.append(batchOf(two, [event(2)]))
    expect(await pods.append(batchOf({ ...one, batch: 1 }, [event(3)]))).toEqual({ outcome: 'ok', from: 3, to: 3 })
    expect(await entries()).toEqual(['1 1', '2 2', '3 3'])
  })

  it('keeps so many entries, and says which is the oldest', async () => {
    const mine = await claim()
    for (let n = 0; n < 13; n++) await pods.append(batchOf({ ...mine, batch: n, seq: n }, [event(n + 1)]))
    expect(await subject.reader.bounds()).toMatchObject({ first: 4, last: 13 })
    expect((await entries())[0]).toBe('4 4')
  })

  it.each<[string, Retention, number]>([
    ['bytes', { keepEntries: 1000, keepBytes: 300 }, 6],
    ['age', { keepEntries: 1000, keepMs: 55_500 }, 6],
    ['neither, but always the newest', { keepEntries: 1000, keepBytes: 1 }, 10],
  ])('keeps entries by %s', async (_name, retention, first) => {
    subject = open(retention)
    pods = subject.writers.pods
    const mine = await claim()
    await pods.append(
      batchOf(
        mine,
        Array.from({ length: 10 }, (_none, n) => event(n + 1)),
      ),
    )
    const bounds = await subject.reader.bounds()
    expect(bounds.last).toBe(10)
    // By age, the moment of the append counts: a slow machine may have dropped one more.
    if (retention.keepMs === undefined) expect(bounds.first).toBe(first)
    else expect(bounds.first).toBeGreaterThanOrEqual(first - 1)
  })

  it('keeps the terms of a Lease and of its holders, and who holds it now', async () => {
    const leases = subject.writers.leases
    const mine = await claim('a', leases)
    const hold = (holder: string): Operation => ({ op: 'hold', key: 'a/lock', holder })
    await leases.append(
      batchOf(mine, [
        hold('x'),
        event(1),
        term('x', 1),
        hold('y'),
        event(2),
        term('y', 2),
        hold('x'),
        event(3),
        term('x', 3),
        hold('z'),
      ]),
    )
    expect(await subject.state.terms('a', 'lock')).toMatchObject([
      { seq: 3, term: { holder: 'x' } },
      { seq: 2, term: { holder: 'y' } },
    ])
    expect(await subject.state.heldTerms('x')).toMatchObject([{ seq: 3 }, { seq: 1 }])
    expect(await subject.state.holds('z', 10)).toEqual(['a/lock'])
    expect(await subject.state.holds('x', 10)).toEqual([])
  })

  it('begins a new epoch on a server that was started anew, which shares with the old one what is there', async () => {
    const mine = await claim()
    await pods.append(batchOf(mine, [event(1)]))
    await subject.restart()
    const next = { ...mine, batch: 1, seq: 1 }
    expect(await pods.append(batchOf(next, [event(2)]))).toEqual({ outcome: 'epoch' })
    const again = await claim()
    expect(again.epoch).not.toBe(mine.epoch)
    expect(again).toMatchObject({ fence: mine.fence, seq: 1, batch: 1 })
    expect((await subject.reader.bounds()).past).toEqual([{ epoch: mine.epoch, seq: 1 }])
    await expect(subject.reader.check({ epoch: mine.epoch, seq: 1 })).resolves.toMatchObject({ epoch: again.epoch })
    expect(await pods.append(batchOf(again, [event(2)]))).toEqual({ outcome: 'ok', from: 2, to: 2 })
    await expect(subject.reader.check({ epoch: mine.epoch, seq: 2 })).rejects.toMatchObject({ code: 'gone' })
  })

  it('begins an epoch that shares nothing when it is told to, by whoever holds the fence', async () => {
    const mine = await claim()
    await pods.append(batchOf(mine, [event(1)]))
    await pods.renewEpoch('9')
    expect((await claim()).epoch).toBe(mine.epoch)
    await pods.renewEpoch(mine.fence)
    const again = await claim()
    expect(again.epoch).not.toBe(mine.epoch)
    await expect(subject.reader.check({ epoch: mine.epoch, seq: 1 })).rejects.toMatchObject({ code: 'gone' })
  })

  it('reads the known set page by page', async () => {
    const names = ['a/x', 'shop/1', 'shop/2', 'shop/3', 'shop-2/1']
    await pods.append(
      batchOf(
        await claim(),
        names.map((key): Operation => ({ op: 'set', key, record: '{}' })),
      ),
    )
    const first = await subject.state.page('pods', { namespace: 'shop', limit: 2 })
    expect([first.objects.map(({ key }) => key), first.next]).toEqual([['shop/1', 'shop/2'], 'shop/2'])
    const second = await subject.state.page('pods', { namespace: 'shop', limit: 2, after: 'shop/2' })
    expect([second.objects.map(({ key }) => key), second.next]).toEqual([['shop/3'], undefined])
    expect((await subject.state.page('pods', { limit: 10 })).objects.map(({ key }) => key)).toEqual(names.toSorted())
  })
})
