import { expect, test } from 'vitest'
import { createPace } from '../../../functions/streams/pace.ts'

/** A clock that moves when it is told to. */
function createClock() {
  let time = 1_000
  return {
    now: () => time,
    pass: (ms: number) => {
      time += ms
    },
  }
}

/** After everything that waits for this turn to end. */
const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 2))
const nothing = () => undefined

test('what comes first, or after a silence, need not wait', async () => {
  const clock = createClock()
  const pace = createPace(5, clock.now)
  expect(pace.rest()).toBeLessThanOrEqual(0)
  pace.write(nothing)
  await nextTurn()
  expect(pace.rest()).toBe(5)
  clock.pass(5)
  expect(pace.rest()).toBeLessThanOrEqual(0)
})

test('the longer writing takes, the longer what comes next waits, but not for ever', async () => {
  const clock = createClock()
  const pace = createPace(5, clock.now)
  for (const [took, rest] of [
    [40, 10],
    [6, 5],
    [10_000, 100],
  ] as const) {
    pace.write(() => clock.pass(took))
    await nextTurn()
    expect(pace.rest()).toBe(rest)
  }
})

test('where writing happens after the turn, and the clock stands still until then, it counts as well', async () => {
  const clock = createClock()
  const pace = createPace(5, clock.now)
  pace.write(nothing)
  clock.pass(60)
  await nextTurn()
  expect(pace.rest()).toBe(15)
})
