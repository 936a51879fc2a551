import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createKeys, type Keys } from '../../shared/keys.ts'
import { createLogReader, followLog, type LogStep } from '../../shared/log/reader.ts'
import { type Batch, type Claim, createLogWriter, type LogWriter, type Operation } from '../../shared/log/writer.ts'
import { createStateReader } from '../../shared/state.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let server: TestRedis
let redis: Redis
let keys: Keys
let writer: LogWriter
let runs = 0

beforeAll(async () => {
  server = await startTestRedis()
  redis = new Redis(server.url)
})

afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

beforeEach(() => {
  keys = createKeys(`c${++runs}`)
  writer = createLogWriter({ redis, keys, feed: '/api/v1/pods', resource: 'pods', keepEntries: 10 })
})

const event = (n: number): Operation => ({ op: 'event', json: `{"id":"${n}","time":"${timeOf(n)}","data":{}}` })
const timeOf = (n: number) => new Date(1_800_000_000_000 + n * 1000).toISOString()

async function claim(owner = 'a', by = writer): Promise<Claim> {
  const answer = await by.claim(owner, 60_000)
  if (answer.held) throw new Error(`held by ${answer.owner}`)
  return answer
}

function batchOf({ fence, epoch, batch, seq }: Claim, operations: Operation[], over: Partial<Batch> = {}): Batch {
  return { fence, epoch, batch: batch + 1, seen: seq, resourceVersion: '7', note: '', operations, ...over }
}

const count = async () => Number(await redis.xlen(keys.log))

describe('an append', () => {
  it('writes entries, known set, terms and cursor at once', async () => {
    const mine = await claim()
    const answer = await writer.append(
      batchOf(mine, [
        event(1),
        { op: 'set', key: 'shop/web', record: '{"uid":"u"}' },
        { op: 'hold', key: 'shop/lock', holder: 'x' },
        { op: 'term', key: 'shop/lock', holder: 'x', term: '{"holder":"x"}', keep: { count: 2, ms: 60_000 } },
        { op: 'hold', key: 'shop/lock', holder: 'y' },
        event(2),
      ]),
    )
    expect(answer).toEqual({ outcome: 'ok', from: 1, to: 2 })
    const state = createStateReader(redis, keys)
    expect(await state.get('pods', 'shop', 'web')).toMatchObject({ data: { uid: 'u' } })
    expect(await state.terms('shop', 'lock')).toEqual([{ seq: 1, term: { holder: 'x' } }])
    expect(await state.heldTerms('x')).toEqual([{ seq: 1, term: { holder: 'x' } }])
    expect([await state.holds('x', 5), await state.holds('y', 5)]).toEqual([[], ['shop/lock']])
    expect(await claim()).toMatchObject({ batch: 1, resourceVersion: '7', seq: 2 })
  })

  it('that is sent again after a lost answer changes nothing', async () => {
    const batch = batchOf(await claim(), [event(1), event(2)])
    const first = await writer.append(batch)
    expect(await writer.append(batch)).toEqual({ ...first, outcome: 'duplicate' })
    expect(await count()).toBe(2)
  })

  it('by a writer that was deposed changes nothing', async () => {
    const old = await claim('a')
    await writer.release(old.fence)
    const next = await claim('b')
    expect(await writer.append(batchOf(old, [event(1)]))).toEqual({ outcome: 'fenced' })
    expect(await writer.append(batchOf(next, [event(1)]))).toMatchObject({ outcome: 'ok' })
    expect(await count()).toBe(1)
  })

  it('into another life of the log, or after a batch that is not there, changes nothing', async () => {
    const mine = await claim()
    expect(await writer.append(batchOf(mine, [event(1)], { epoch: 'other' }))).toEqual({ outcome: 'epoch' })
    expect(await writer.append(batchOf(mine, [event(1)], { batch: 3 }))).toEqual({ outcome: 'conflict' })
    expect(await writer.append(batchOf(mine, [event(1)], { seen: 9 }))).toEqual({ outcome: 'conflict' })
    expect(await count()).toBe(0)
  })

  it('works after SCRIPT FLUSH', async () => {
    const mine = await claim()
    await redis.script('FLUSH')
    expect(await writer.append(batchOf(mine, [event(1)]))).toMatchObject({ outcome: 'ok' })
  })

  it('by two feeds shares one sequence without gaps', async () => {
    const other = createLogWriter({ redis, keys, feed: '/api/v1/nodes', resource: 'nodes', keepEntries: 10 })
    const [a, b] = [await claim(), await claim('a', other)]
    await writer.append(batchOf(a, [event(1)]))
    await other.append(batchOf(b, [event(2)]))
    await writer.append(batchOf({ ...a, batch: 1 }, [event(3)]))
    const entries = await createLogReader(redis, keys).read(0, 10)
    expect(entries.map(({ seq }) => seq)).toEqual([1, 2, 3])
  })
})

describe('a claim', () => {
  it('is refused while another holds it, and free after its release', async () => {
    const mine = await claim('a')
    expect(await writer.claim('b', 1000)).toMatchObject({ held: true, owner: 'a' })
    await writer.release(mine.fence)
    expect((await claim('b')).fence).not.toBe(mine.fence)
  })

  it('keeps its fence when it is renewed, and gets a new one after it ran out', async () => {
    const answer = await writer.claim('a', 60_000)
    expect(await writer.claim('a', 1)).toMatchObject({ fence: answer.held ? '' : answer.fence })
    await expect.poll(async () => (await claim('a')).fence).not.toBe(answer.held ? '' : answer.fence)
  })
})

describe('a reader', () => {
  async function fill(total: number): Promise<void> {
    const mine = await claim()
    for (let n = 1; n <= total; n++) await writer.append(batchOf({ ...mine, batch: n - 1 }, [event(n)]))
  }

  it('is refused what is no longer kept, with the oldest cursor there is', async () => {
    await fill(25)
    const reader = createLogReader(redis, keys)
    const { epoch, first, last } = await reader.bounds()
    expect([first, last]).toEqual([16, 25])
    await expect(reader.check({ epoch, seq: 15 })).resolves.toBeDefined()
    const refusal = reader.check({ epoch, seq: 14 })
    await expect(refusal).rejects.toMatchObject({
      code: 'gone',
      details: { oldest: await reader.toCursor({ epoch, seq: 15 }) },
    })
    await expect(reader.check({ epoch: 'other', seq: 20 })).rejects.toMatchObject({ code: 'gone' })
    await expect(reader.check({ epoch, seq: 26 })).rejects.toMatchObject({ code: 'gone' })
  })

  it('finds the place of a moment', async () => {
    await fill(9)
    const reader = createLogReader(redis, keys)
    for (const n of [0, 1, 5, 9, 12]) {
      const { seq } = await reader.seek(Date.parse(timeOf(n)))
      expect(seq).toBe(Math.min(9, Math.max(0, n - 1)))
    }
  })

  it('gives a log that nobody wrote to an epoch that the first writer keeps', async () => {
    const { epoch, last } = await createLogReader(redis, keys).bounds()
    expect(last).toBe(0)
    expect((await claim()).epoch).toBe(epoch)
  })

  it('follows from what is kept to what comes, without a gap', async () => {
    await fill(5)
    const blocking = redis.duplicate()
    const stop = new AbortController()
    const { epoch } = await createLogReader(redis, keys).bounds()
    const seen: number[] = []
    const reading = (async () => {
      for await (const step of followLog(
        blocking,
        keys,
        { epoch, seq: 2 },
        { signal: stop.signal, block: 50, limit: 2 },
      )) {
        if (step.type === 'entries') seen.push(...step.entries.map(({ seq }) => seq))
        if (seen.length >= 5) return
      }
    })()
    const mine = await claim()
    for (const n of [6, 7]) await writer.append(batchOf({ ...mine, batch: n - 1, seq: n - 1 }, [event(n)]))
    await reading
    expect(seen).toEqual([3, 4, 5, 6, 7])
    stop.abort()
    blocking.disconnect()
  })

  it.each(['overtaken by retention', 'in an old epoch', 'ahead of a log that went back'])(
    'is told when it is %s',
    async (how) => {
      await fill(25)
      const blocking = redis.duplicate()
      const stop = new AbortController()
      const bounds = await createLogReader(redis, keys).bounds()
      const from = {
        'overtaken by retention': { epoch: bounds.epoch, seq: 3 },
        'in an old epoch': { epoch: 'before', seq: 20 },
        'ahead of a log that went back': { epoch: bounds.epoch, seq: 99 },
      }[how] as { epoch: string; seq: number }
      const steps: LogStep[] = []
      for await (const step of followLog(blocking, keys, from, { signal: stop.signal, block: 20 })) {
        steps.push(step)
        if (steps.length === 2) break
      }
      expect(steps[0]).toEqual({ type: 'reset', oldest: { epoch: bounds.epoch, seq: 15 } })
      expect(steps[1]).toMatchObject({ type: 'entries', entries: { length: 10 } })
      blocking.disconnect()
    },
  )
})

describe('the current state', () => {
  it('is read page by page in the order of names, a namespace apart from its neighbours', async () => {
    const names = ['a/x', 'shop/1', 'shop/2', 'shop/3', 'shop-2/1', 'shopping/1']
    const mine = await claim()
    await writer.append(
      batchOf(
        mine,
        names.map((key): Operation => ({ op: 'set', key, record: '{}' })),
      ),
    )
    const state = createStateReader(redis, keys)
    const found: string[] = []
    let after: string | undefined
    do {
      const page = await state.page('pods', { namespace: 'shop', limit: 2, ...(after === undefined ? {} : { after }) })
      found.push(...page.objects.map(({ key }) => key))
      after = page.next
    } while (after !== undefined)
    expect(found).toEqual(['shop/1', 'shop/2', 'shop/3'])
    expect((await state.page('pods', { limit: 10 })).objects.map(({ key }) => key)).toEqual(names.toSorted())
  })

  it('forgets what was deleted and says which entries it includes', async () => {
    const mine = await claim()
    await writer.append(batchOf(mine, [event(1), { op: 'set', key: 'a/b', record: '{"n":1}' }]))
    const state = createStateReader(redis, keys)
    expect(await state.get('pods', 'a', 'b')).toEqual({ key: 'a/b', seq: 1, data: { n: 1 } })
    await writer.append(batchOf({ ...mine, batch: 1 }, [{ op: 'delete', key: 'a/b' }]))
    expect(await state.get('pods', 'a', 'b')).toBeUndefined()
    expect((await state.page('pods', { limit: 10 })).objects).toEqual([])
  })
})
