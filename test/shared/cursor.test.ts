import fc from 'fast-check'
import { expect, it, test } from 'vitest'
import {
  createCursorKey,
  createCursorSeal,
  openCursor,
  readCursor,
  roomForMark,
  sealSize,
} from '../../shared/cursor.ts'
import { listClauses, parseFilter } from '../../shared/filter/filter.ts'

const epoch = fc.stringMatching(/^[0-9a-z]{10}$/)
const seal = createCursorSeal('5a'.repeat(32))
const log = { epoch: 'xg8idf8blj', past: [{ epoch: 'aaaaaaaaaa' }], seal }

it('reads back every position that it seals', () => {
  fc.assert(
    fc.property(epoch, fc.maxSafeNat(), (name, seq) => {
      const cursor = seal.toCursor({ epoch: name, seq })
      expect(cursor).toMatch(/^[0-9a-z]+-[0-9a-z]+-[0-9a-z]{8}$/)
      expect(readCursor(cursor, { epoch: name, past: [], seal })).toEqual({ epoch: name, seq })
      expect(openCursor(cursor)).toEqual({ epoch: name, seq })
    }),
  )
})

it('seals a place the same in whatever order places are asked for, and each otherwise', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(50), { minLength: 2 }), (seqs) => {
      const fresh = createCursorSeal('5a'.repeat(32))
      const cursors = seqs.map((seq) => fresh.toCursor({ epoch: log.epoch, seq }))
      expect(cursors).toEqual(seqs.map((seq) => seal.toCursor({ epoch: log.epoch, seq })))
      expect(new Set(cursors.map((cursor) => cursor.slice(-8))).size).toBe(seqs.length)
    }),
  )
})

it.each([log.epoch, 'aaaaaaaaaa'])('refuses a cursor of %s with any character changed, and says so', (name) => {
  const cursor = seal.toCursor({ epoch: name, seq: 4_711 })
  for (let at = 0; at < cursor.length; at++) {
    for (const other of ['0', 'z', '-', 'A', '\n']) {
      const changed = cursor.slice(0, at) + other + cursor.slice(at + 1)
      if (changed === cursor) continue
      // In a life that nobody knows of, every place is gone: the log says so itself, whatever the seal.
      const isElsewhere = at < name.length && /[0-9a-z]/.test(other)
      if (isElsewhere) expect(readCursor(changed, log).epoch).not.toBe(name)
      else
        expect(() => readCursor(changed, log)).toThrow(/^from: (not a cursor|this cursor was not given by this relay)/)
    }
  }
})

test('a cursor that another log sealed is refused', () => {
  const other = createCursorSeal(createCursorKey())
  expect(() => readCursor(other.toCursor({ epoch: log.epoch, seq: 1 }), log, 'Last-Event-ID')).toThrow(
    /^Last-Event-ID: this cursor was not given by this relay/,
  )
})

const clause = fc
  .constantFrom('resource', 'namespace', 'name', 'phase', 'node', 'reason')
  .map((name) => `["${name}","x"]`)
const clauses = fc.uniqueArray(clause, { maxLength: 6 })
const toBound = (seq: number, given: readonly string[]) => seal.toCursor({ epoch: log.epoch, seq }, seal.bond(given))

it('goes on under the clauses that it was given under and more, and under no others', () => {
  fc.assert(
    fc.property(fc.nat(1_000), clauses, clauses, (seq, given, asked) => {
      const cursor = toBound(seq, given)
      const read = () => readCursor(cursor, log, 'from', asked)
      if (given.every((one) => asked.includes(one))) expect(read()).toEqual({ epoch: log.epoch, seq })
      else expect(read).toThrow(/^from: this cursor was given under another filter, .*; go on with that filter/)
      // A place is a place, whoever saw what.
      expect(readCursor(cursor, log)).toEqual({ epoch: log.epoch, seq })
    }),
  )
})

it('is bound to what the filter says, in whatever order and however often', () => {
  const bound = (input: object) => toBound(7, listClauses(parseFilter(input as Record<string, unknown>)))
  expect(bound({ phase: 'Failed,Running', resource: 'pods' })).toBe(
    bound({ resource: ['pods', 'pods'], phase: ['Running', 'Failed'] }),
  )
  expect(bound({ phase: 'Failed' })).not.toBe(bound({ 'phase.to': 'Failed' }))
  expect(bound({ where: 'data.name == "a"' })).not.toBe(bound({ where: 'data.name == "b"' }))
  expect(bound({})).toBe(seal.toCursor({ epoch: log.epoch, seq: 7 }))
})

it('refuses a bound cursor with any character changed, or freed of its filter', () => {
  const given = ['["name","x"]']
  const cursor = toBound(4_711, given)
  expect(() => readCursor(cursor.slice(0, -roomForMark.length), log)).toThrow('was not given by this relay')
  for (let at = log.epoch.length; at < cursor.length; at++) {
    for (const other of ['0', 'z', 'i']) {
      const changed = cursor.slice(0, at) + other + cursor.slice(at + 1)
      if (changed !== cursor) expect(() => readCursor(changed, log, 'from', given)).toThrow(/^from: /)
    }
  }
})

it('is written into bytes as it is into text', () => {
  fc.assert(
    fc.property(fc.nat(), clauses, (seq, given) => {
      const plain = seal.toCursor({ epoch: log.epoch, seq })
      const bytes = new TextEncoder().encode(`id: ${plain}${roomForMark}\n`)
      seal.bond(given)?.write(bytes, 'id: '.length + plain.length - sealSize)
      const expected = given.length === 0 ? plain + roomForMark : toBound(seq, given)
      expect(new TextDecoder().decode(bytes)).toBe(`id: ${expected}\n`)
    }),
  )
})

it.each([
  '',
  'x',
  '-1',
  'abc-',
  'abc-1',
  'abc-ZZ-00000000',
  'a b-1-00000000',
  'abc-1-00000000\n',
  `abc-${'z'.repeat(20)}-00000000`,
  'ABC-1-00000000',
  'abc-1-0000000',
  'abc-1-000000000',
  'abc-1-0000000000000',
  'abc-1-000000000000000',
  `abc-1-${'0'.repeat(100_000)}`,
])('refuses %j and names the field', (text) => {
  expect(() => readCursor(text, log, 'Last-Event-ID')).toThrow(/^Last-Event-ID: not a cursor/)
})
