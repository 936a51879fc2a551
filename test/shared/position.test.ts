import fc from 'fast-check'
import { expect, it } from 'vitest'
import { formatPosition, parsePosition } from '../../shared/position.ts'

it('reads back every position that it writes', () => {
  const epoch = fc.stringMatching(/^[0-9a-z]{10}$/)
  fc.assert(
    fc.property(epoch, fc.maxSafeNat(), (name, seq) => {
      expect(parsePosition(formatPosition({ epoch: name, seq }))).toEqual({ epoch: name, seq })
    }),
  )
})

it.each(['', 'x', '-1', 'abc-', 'abc-ZZ', 'a b-1', 'abc-1\n', `abc-${'z'.repeat(20)}`, 'ABC-1'])(
  'refuses %j and names the field',
  (text) => {
    expect(() => parsePosition(text, 'Last-Event-ID')).toThrow(/^Last-Event-ID: no place in the log/)
  },
)
