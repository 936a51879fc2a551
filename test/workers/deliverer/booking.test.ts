import { expect, it } from 'vitest'
import { createBooking } from '../../../workers/deliverer/booking.ts'

it('serves the jobs of a short line one after the other', () => {
  const booking = createBooking(() => 1000)
  expect([booking.next(100), booking.next(100), booking.next(100)]).toEqual([100, 200, 300])
  expect(createBooking(() => 0).next(1)).toBe(20)
})

it('spreads those of a long line, and has none wait for more than half a minute', () => {
  const booking = createBooking(() => 0)
  const waits = Array.from({ length: 1000 }, () => booking.next(12_000))
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_000)
  const late = waits.filter((wait) => wait >= 15_000)
  const perSecond = Map.groupBy(late, (wait) => Math.floor(wait / 1000))
  expect(Math.max(...[...perSecond.values()].map((group) => group.length))).toBeLessThan(100)
})

it('has the jobs of an endless line come back so seldom that they burden nobody, and sooner when it is short again', () => {
  let clock = 0
  const booking = createBooking(() => clock)
  let due = Array.from({ length: 15_000 }, () => booking.next(12_000))
  const returns: number[] = []
  for (; clock < 3_600_000; clock += 1000) {
    const coming = due.filter((at) => at <= clock)
    due = due.filter((at) => at > clock)
    returns.push(coming.length)
    for (const _ of coming) due.push(clock + booking.next(12_000))
  }
  const last = returns.slice(-600)
  expect(last.reduce((sum, count) => sum + count, 0) / last.length).toBeLessThan(80)
  clock += 5000
  for (let n = 0; n < 10; n++, clock += 5000) booking.next(12_000)
  expect(booking.next(12_000)).toBeLessThanOrEqual(30_000)
})
