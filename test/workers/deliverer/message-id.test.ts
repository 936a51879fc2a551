import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toMessageId } from '../../../workers/deliverer/message-id.ts'

describe('the webhook-id', () => {
  it.each([
    ['prod/6163c216-9b/230609819', 'prod__6163c216-9b__230609819'],
    ['a.b', 'a_2eb'],
    ['a_b', 'a_5fb'],
    ['ü', '_c3_bc'],
  ])('of %s is %s', (id, expected) => {
    expect(toMessageId(id)).toBe(expected)
  })

  it('holds nothing that the signature could be confused by', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (id) => /^[A-Za-z0-9_-]*$/.test(toMessageId(id))))
  })

  it('is never the same for two events', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '/', '_', '.', '2', 'e', '5', 'f', 'ü') })
    fc.assert(fc.property(text, text, (a, b) => a === b || toMessageId(a) !== toMessageId(b)))
  })
})
