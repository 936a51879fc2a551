import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultSchedule, nextPause, parseRetryAfter } from '../../../workers/deliverer/schedule.ts'

const hour = 3_600_000

describe('the schedule', () => {
  it('makes ten attempts or more over 75 hours or more', () => {
    expect(defaultSchedule.length).toBeGreaterThanOrEqual(10)
    expect(defaultSchedule[0]).toBe(0)
    expect(defaultSchedule.reduce((sum, pause) => sum + pause)).toBeGreaterThanOrEqual(75 * hour)
  })

  it('never comes early, spreads over a fifth of the pause, and ends', () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fc.nat(30), random, (made, number) => {
        const pause = nextPause(made, number)
        const planned = defaultSchedule[made]
        if (planned === undefined) return pause === undefined
        return pause !== undefined && pause >= planned && pause <= planned * 1.2 + 1
      }),
    )
  })

  it('waits longer where the endpoint asks for it, a day at most, and not shorter', () => {
    expect(nextPause(1, 0, 60_000)).toBe(60_000)
    expect(nextPause(1, 0, 1)).toBe(5000)
    expect(nextPause(1, 0, 1000 * hour)).toBe(24 * hour)
    expect(nextPause(11, 0, 1)).toBeUndefined()
  })

  it.each([
    ['120', 120_000],
    [' 0 ', 0],
    ['Sat, 21 Nov 2026 00:00:10 GMT', 10_000],
    ['Sat, 21 Nov 2020 00:00:10 GMT', 0],
    ['-3', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    ['99999999999999', undefined],
  ])('reads Retry-After %j', (text, expected) => {
    expect(parseRetryAfter(text, Date.parse('2026-11-21T00:00:00Z'))).toBe(expected)
  })
})
