import { array, assert as assertProperty, asyncProperty, constantFrom, integer, record } from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createKeys, type Keys } from '../../shared/keys.ts'
import { createLogReader, followLog, type LogStep } from '../../shared/log/reader.ts'
import { createLogWriter, type LogWriterDeps } from '../../shared/log/writer.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let server: TestRedis
let redis: Redis
let runs = 0
let now = 0

beforeAll(async () => {
  server = await startTestRedis({ appendfsync: 'no' })
  redis = new Redis(server.url)
})

afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

type Keep = Pick<LogWriterDeps, 'keepEntries' | 'keepBytes' | 'keepMs'>

const eventOf = (time: number, padding: number) =>
  JSON.stringify({ id: 'ä', time: new Date(time).toISOString(), data: { text: '"time":"', pad: '.'.repeat(padding) } })
const sizeOf = (json: string) => new TextEncoder().encode(json).length

/** Appends batches of events to a log of its own, or goes on with one. */
async function openLog(keep: Keep, keys: Keys = createKeys(`r${++runs}`)) {
  const writer = createLogWriter({ redis, keys, feed: 'f', resource: 'pods', now: () => now, ...keep })
  const claim = await writer.claim('o', 60_000)
  if (claim.held) throw new Error('held')
  let { batch } = claim
  return {
    keys,
    async append(events: readonly string[]) {
      const { fence, epoch, seq: seen } = claim
      const operations = events.map((json) => ({ op: 'event', json }) as const)
      batch++
      const answer = await writer.append({ fence, epoch, batch, seen, resourceVersion: '', note: '', operations })
      expect(answer.outcome).toBe('ok')
    },
  }
}

it('keeps what the simplest of models keeps, whatever limit is met first', async () => {
  const batches = array(
    record({ pause: constantFrom(0, 1, 1000, 60_000), sizes: array(constantFrom(0, 1, 50, 400), { maxLength: 30 }) }),
    { minLength: 1, maxLength: 25 },
  )
  const limits = record({
    keepEntries: integer({ min: 1, max: 60 }),
    keepBytes: integer({ min: 1, max: 10_000 }),
    keepMs: integer({ min: 0, max: 200_000 }),
  })
  await assertProperty(
    asyncProperty(batches, limits, async (steps, keep) => {
      now = 1_800_000_000_000
      const log = await openLog(keep)
      const reader = createLogReader(redis, log.keys)
      let kept: { seq: number; json: string; time: number }[] = []
      let seq = 0
      for (const { pause, sizes } of steps) {
        now += pause
        const events = sizes.map((size) => eventOf(now, size))
        await log.append(events)
        kept = [...kept, ...events.map((json) => ({ seq: ++seq, json, time: now }))]
        const bytes = () => kept.reduce((sum, { json }) => sum + sizeOf(json), 0)
        const isOver = () =>
          kept.length > keep.keepEntries || bytes() > keep.keepBytes || (kept[0]?.time ?? now) < now - keep.keepMs
        while (kept.length > 1 && isOver()) kept = kept.slice(1)
        const { first, last } = await reader.bounds()
        expect([first, last]).toEqual([kept[0]?.seq ?? 1, seq])
        expect(await reader.read(0, 10_000)).toEqual(kept.map(({ seq, json }) => ({ seq, json })))
      }
    }),
    { numRuns: 60 },
  )
})

it('removes no more than a bounded number at once, and the rest with the next appends', async () => {
  const full = await openLog({ keepEntries: 100_000 })
  for (let n = 0; n < 6; n++) await full.append(Array.from({ length: 500 }, () => eventOf(now, 0)))
  const small = await openLog({ keepEntries: 10 }, full.keys)
  const counts: number[] = []
  for (let n = 0; n < 4; n++) {
    await small.append([eventOf(now, 0)])
    counts.push(await redis.xlen(full.keys.log))
  }
  expect(counts).toEqual([1999, 998, 10, 10])
})

it('keeps the newest entry, be it ever so old or large', async () => {
  const log = await openLog({ keepEntries: 10, keepBytes: 10, keepMs: 1000 })
  await log.append([eventOf(now, 100), eventOf(now, 5000)])
  now += 100_000
  await log.append([])
  expect((await createLogReader(redis, log.keys).read(0, 10)).map(({ seq }) => seq)).toEqual([2])
})

it('frees what was too old also by an append without events', async () => {
  const log = await openLog({ keepEntries: 100, keepMs: 1000 })
  await log.append([eventOf(now, 0), eventOf(now, 0), eventOf(now + 900, 0)])
  now += 1500
  await log.append([])
  expect(await redis.xlen(log.keys.log)).toBe(1)
})

it('tells a reader that was overtaken, in the middle of reading', async () => {
  const log = await openLog({ keepEntries: 1000, keepBytes: 2000 })
  const reader = createLogReader(redis, log.keys)
  await log.append(Array.from({ length: 10 }, () => eventOf(now, 10)))
  const { epoch } = await reader.bounds()
  const blocking = redis.duplicate()
  const steps: LogStep[] = []
  const from = { epoch, seq: 0 }
  for await (const step of followLog(blocking, log.keys, from, { signal: new AbortController().signal, limit: 2 })) {
    steps.push(step)
    if (steps.length === 1) await log.append(Array.from({ length: 30 }, () => eventOf(now, 100)))
    if (steps.length === 3) break
  }
  blocking.disconnect()
  const { first } = await reader.bounds()
  expect(first).toBeGreaterThan(3)
  expect(steps.map(({ type }) => type)).toEqual(['entries', 'reset', 'entries'])
  expect(steps[1]).toEqual({ type: 'reset', oldest: { epoch, seq: first - 1 } })
  await expect(reader.check({ epoch, seq: 2 })).rejects.toMatchObject({ code: 'gone' })
})
