import { expect, it } from 'vitest'
import { createLanes, type Lane } from '../../../workers/deliverer/lanes.ts'

const isLane = (entry: ReturnType<ReturnType<typeof createLanes>['enter']>): entry is Lane => 'run' in entry

it('runs no more requests of a webhook at a time than it is wide', async () => {
  const lanes = createLanes({ width: 3, depth: 4, spare: 0, now: Date.now })
  const entry = lanes.enter('a')
  if (!isLane(entry)) throw new Error('busy')
  let [running, most] = [0, 0]
  const work = async () => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, 2))
    running--
    if (most === 2) throw new Error('a failure gives its place back')
  }
  await Promise.allSettled(Array.from({ length: 20 }, () => entry.run(work)))
  expect(most).toBe(3)
  expect(running).toBe(0)
})

it('puts the jobs of a slow webhook aside, each until later, and no others', () => {
  let clock = 0
  const lanes = createLanes({ width: 1, depth: 2, spare: 0, now: () => clock })
  const [first, second] = [lanes.enter('slow'), lanes.enter('slow')]
  if (!isLane(first) || !isLane(second)) throw new Error('busy')
  clock = 10_000
  second.leave()
  lanes.enter('slow')
  const waits = Array.from({ length: 5 }, () => lanes.enter('slow')).map((entry) =>
    'busyFor' in entry ? entry.busyFor : 0,
  )
  expect(waits).toEqual(waits.toSorted((a, b) => a - b))
  expect(new Set(waits).size).toBe(5)
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_000)
  expect(isLane(lanes.enter('other'))).toBe(true)
})

it('lets a webhook have more while there are places to spare', () => {
  const lanes = createLanes({ width: 1, depth: 1, spare: 3, now: () => 0 })
  const entries = Array.from({ length: 5 }, () => lanes.enter('a'))
  expect(entries.map(isLane)).toEqual([true, true, true, false, false])
  expect(isLane(lanes.enter('b'))).toBe(true)
  expect(isLane(lanes.enter('b'))).toBe(false)
})
