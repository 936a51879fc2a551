import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  attemptErrors,
  type Delivery,
  deliveryHeader,
  deliveryStates,
  formatDelivery,
  parseDelivery,
} from '../../../shared/webhook/delivery.ts'

const attempt = fc.record(
  {
    at: fc.nat(),
    status: fc.integer({ min: 100, max: 599 }),
    latencyMs: fc.nat(),
    error: fc.constantFrom(...attemptErrors),
    response: fc.string({ unit: 'binary' }),
  },
  { requiredKeys: ['at', 'latencyMs'] },
)
const delivery = fc.record(
  {
    state: fc.constantFrom(...deliveryStates),
    event: fc.string(),
    acceptedAt: fc.nat(),
    group: fc.string(),
    scope: fc.constantFrom('entered' as const, 'left' as const),
    attempts: fc.array(attempt, { maxLength: 12 }),
    due: fc.nat(),
  },
  { requiredKeys: ['state', 'event', 'acceptedAt', 'group', 'attempts'] },
)

describe('a stored delivery', () => {
  it('is read back as it was written, behind its header', () => {
    fc.assert(
      fc.property(delivery, (value) => {
        const given = value as Delivery
        const stored = formatDelivery(given)
        expect(parseDelivery(stored)).toEqual(given)
        expect(stored.startsWith(deliveryHeader(given))).toBe(true)
      }),
    )
  })

  it('has a header that no other state or number of attempts begins with', () => {
    const headers = deliveryStates.flatMap((state) =>
      [0, 1, 10, 11].map((length) => deliveryHeader({ state, attempts: Array.from({ length }) })),
    )
    for (const a of headers) expect(headers.filter((b) => b.startsWith(a))).toEqual([a])
  })
})
