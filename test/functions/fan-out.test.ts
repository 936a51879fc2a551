import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createBatch } from '../../functions/streams/batch.ts'
import { sse } from '../../functions/streams/frames.ts'
import { createPages } from '../../functions/streams/pages.ts'
import { createRing } from '../../functions/streams/ring.ts'
import { createViews } from '../../functions/streams/view.ts'
import { createCursorKey, createCursorSeal } from '../../shared/cursor.ts'
import { RelayError } from '../../shared/errors.ts'
import type { LogEntry, LogReader } from '../../shared/log/reader.ts'

const seal = createCursorSeal(createCursorKey())

const entry = (seq: number, namespace = 'shop'): LogEntry => ({
  seq,
  json: JSON.stringify({
    source: '/x/pods',
    type: 'k8s.pod.modified',
    data: { namespace, name: `n-${seq}`, changes: [] },
  }),
})

const seqs = (bytes: Uint8Array) =>
  [...new TextDecoder().decode(bytes).matchAll(/"name":"n-(\d+)"/g)].map(([, seq]) => Number(seq))

test('a reader that starts anywhere in the ring sees every entry after that place once', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 120 }),
      fc.nat(400),
      fc.boolean(),
      (sizes, start, isFiltered) => {
        const ring = createRing(4_000)
        const view = createViews().acquire(isFiltered ? { namespace: ['shop'] } : {}, sse)
        let last = 0
        for (const size of sizes) {
          const entries = Array.from({ length: size }, (_, i) => entry(last + i + 1, (last + i) % 3 ? 'shop' : 'other'))
          ring.push(createBatch('e', entries, seal))
          last += size
        }
        const got: number[] = []
        let at = start % (last + 1)
        const first = at
        for (let batch = ring.after(at); batch !== undefined; batch = ring.after(at)) {
          expect(batch.from <= at + 1 && batch.to > at).toBe(true)
          got.push(...seqs(batch.from === at + 1 ? batch.select(view) : batch.selectFrom(view, at)))
          at = batch.to
        }
        const all = Array.from({ length: at - first }, (_, i) => first + i + 1)
        expect(got).toEqual(isFiltered ? all.filter((seq) => (seq - 1) % 3 !== 0) : all)
        // Only what was let go is not there: the newest batch always is.
        expect(at === last || at === first).toBe(true)
        expect(ring.after(last)).toBeUndefined()
      },
    ),
  )
})

test('filters that say the same share one view, as long as somebody uses it', () => {
  const views = createViews()
  const one = views.acquire({ namespace: ['a', 'b'], resource: ['pods'] }, sse)
  expect(views.acquire({ resource: ['pods'], namespace: ['b', 'a', 'b'] }, sse)).toBe(one)
  expect(views.acquire({ namespace: ['a'], resource: ['pods'] }, sse)).not.toBe(one)
  views.release(one)
  expect(views.acquire({ namespace: ['a', 'b'], resource: ['pods'] }, sse)).toBe(one)
  views.release(one)
  views.release(one)
  expect(views.acquire({ namespace: ['a', 'b'], resource: ['pods'] }, sse)).not.toBe(one)
})

/** A log in memory whose answers take a turn, so that appends and other reads come in between. */
function createFakeReader() {
  const log = { entries: [] as LogEntry[], first: 1, epoch: 'e', reads: 0 }
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  const reader: LogReader = {
    async bounds() {
      const bounds = { epoch: log.epoch, first: log.first, last: log.entries.length, past: [], seal }
      await turn()
      return bounds
    },
    oldest: (bounds) => ({ epoch: bounds.epoch, seq: bounds.first - 1 }),
    check: () => Promise.reject(new RelayError('unavailable', 'not used')),
    async read(after, limit) {
      log.reads++
      const from = Math.max(after, log.first - 1)
      const entries = log.entries.slice(from, from + limit)
      await turn()
      return entries
    },
    seek: () => Promise.reject(new RelayError('unavailable', 'not used')),
    toCursor: async (position) => seal.toCursor(position),
  }
  return { log, reader }
}

test('readers of shared pages see every entry once while the log grows, or hear that it was trimmed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(60), { minLength: 1, maxLength: 12 }), fc.nat(40), async (starts, trim) => {
      const { log, reader } = createFakeReader()
      const pages = createPages(reader, { size: 8, keep: 3 })
      for (let seq = 1; seq <= 60; seq++) log.entries.push(entry(seq))
      const total = 100
      const growing = (async () => {
        while (log.entries.length < total) {
          log.entries.push(entry(log.entries.length + 1))
          if (log.entries.length === 80) log.first = trim + 1
          await new Promise((resolve) => setImmediate(resolve))
        }
      })()
      const reading = starts.map(async (start) => {
        let at = start
        while (at < total) {
          const answer = await pages.after({ epoch: 'e', seq: at })
          if (answer.type === 'batch') {
            expect(answer.batch.from <= at + 1 && answer.batch.to > at).toBe(true)
            at = answer.batch.to
          } else if (answer.type === 'gone') {
            expect(answer).toMatchObject({ reason: 'trimmed', oldest: { position: { seq: trim } } })
            expect(at).toBeLessThan(trim)
            at = answer.oldest.position.seq
          }
        }
      })
      await Promise.all([growing, ...reading])
      log.epoch = 'f'
      const fresh = createPages(reader, { size: 8 })
      expect(await fresh.after({ epoch: 'e', seq: 50 })).toMatchObject({ type: 'gone', reason: 'replaced' })
    }),
    { numRuns: 40 },
  )
})

test('a thousand readers that come back at once cost a few reads', async () => {
  const { log, reader } = createFakeReader()
  for (let seq = 1; seq <= 1_000; seq++) log.entries.push(entry(seq))
  const pages = createPages(reader)
  await Promise.all(
    Array.from({ length: 1_000 }, async (_, i) => {
      for (let at = i; at < 1_000; ) {
        const answer = await pages.after({ epoch: 'e', seq: at })
        if (answer.type === 'batch') at = answer.batch.to
      }
    }),
  )
  expect(log.reads).toBeLessThan(20)
})

test('many different filters see through the index what each sees by itself', () => {
  const values = fc.subarray<string>(['a', 'b', 'c', '!a', 'a*'], { minLength: 1 })
  const filters = fc.record(
    { namespace: values, name: values, resource: fc.constant(['pods'] as string[]) },
    { requiredKeys: [] },
  )
  const event = fc.record({
    namespace: fc.constantFrom('a', 'b', 'ab'),
    name: fc.constantFrom('a', 'c'),
    isGap: fc.boolean(),
  })
  fc.assert(
    fc.property(
      fc.array(filters, { maxLength: 12 }),
      fc.array(event, { minLength: 1 }),
      fc.nat(12),
      (all, told, late) => {
        const views = createViews()
        const early = all.slice(0, late).map((filter) => views.acquire(filter, sse))
        const entries = told.map(({ namespace, name, isGap }, i) => ({
          seq: i + 1,
          json: JSON.stringify({
            source: '/x/pods',
            type: isGap ? 'k8s.relay.gap' : 'k8s.pod.modified',
            data: { namespace, name, changes: [] },
          }),
        }))
        const indexed = createBatch('e', entries, seal, views)
        const plain = createBatch('e', entries, seal)
        for (const view of early) expect(indexed.select(view)).toEqual(plain.select(view))
        for (const filter of all.slice(late)) {
          const view = views.acquire(filter, sse)
          expect(indexed.select(view)).toEqual(plain.select(view))
        }
      },
    ),
  )
})

test('what several share is written once and kept, what one alone sees is not, and nothing is once the batch is old', () => {
  const views = createViews()
  const [lone, shared] = [views.acquire({ name: ['!n-2'] }, sse), views.acquire({ name: ['!n-3'] }, sse)]
  expect(views.acquire({ name: ['!n-3'] }, sse)).toBe(shared)
  const batch = createBatch('e', [entry(1), entry(2), entry(3), entry(4)], seal, views)
  expect(batch.select(shared)).toBe(batch.select(shared))
  expect(batch.select(lone)).not.toBe(batch.select(lone))
  expect(seqs(batch.select(lone))).toEqual([1, 3, 4])
  batch.forget()
  expect(batch.select(shared)).not.toBe(batch.select(shared))
  expect(seqs(batch.select(shared))).toEqual([1, 2, 4])
})
