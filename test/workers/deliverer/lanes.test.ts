import { expect, it } from 'vitest'
import { type Busy, createLanes, type Lane, type Lanes } from '../../../workers/deliverer/lanes.ts'

const isLane = (entry: Lane | Busy): entry is Lane => 'run' in entry

it('runs no more requests of a webhook at a time than it is wide', async () => {
  const lanes = createLanes({ width: 3, depth: 4, places: 1, now: Date.now })
  const entry = await lanes.enter('a', 20)
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

const enterAll = async (lanes: Lanes, webhook: string, count: number) => {
  const entered: (Lane | Busy)[] = []
  for (let n = 0; n < count; n++) void lanes.enter(webhook, 1).then((entry) => entered.push(entry))
  await new Promise(setImmediate)
  return entered
}

it('puts the jobs of a slow webhook aside, each until later, and no others', async () => {
  let clock = 0
  const lanes = createLanes({ width: 1, depth: 2, places: 8, now: () => clock })
  const slow = await enterAll(lanes, 'slow', 2)
  expect(slow.filter(isLane)).toHaveLength(2)
  clock = 25_000
  const waits = (await enterAll(lanes, 'slow', 5)).map((entry) => ('busyFor' in entry ? entry.busyFor : 0))
  // Two have their turn within half a minute; those behind them come back at some time before its end.
  expect(waits.slice(0, 2)).toEqual([12_500, 25_000])
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(12_500)
  expect(new Set(waits).size).toBe(5)
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_000)
  expect((await enterAll(lanes, 'other', 1)).filter(isLane)).toHaveLength(1)
})

it('has the jobs of a fast webhook wait for their turn, until it is no longer fast', async () => {
  let clock = 0
  const lanes = createLanes({ width: 1, depth: 1, places: 8, now: () => clock })
  const entered = await enterAll(lanes, 'a', 5)
  // One by right, one more since there is room for a second request, three in the queue.
  expect(entered.filter(isLane)).toHaveLength(2)
  expect(entered).toHaveLength(2)
  const [first] = entered.filter(isLane)
  first?.leave()
  await expect.poll(() => entered.filter(isLane).length).toBe(3)
  clock = 50_000
  await expect.poll(() => entered.length).toBe(5)
  expect(entered.filter(isLane)).toHaveLength(3)
})

it('keeps a quarter of the places for webhooks that have none', async () => {
  const lanes = createLanes({ width: 20, depth: 2, places: 16, now: () => 0 })
  const many = await enterAll(lanes, 'many', 50)
  expect(many.filter(isLane)).toHaveLength(8)
  // Four wait.
  expect(many).toHaveLength(46)
  for (const other of ['b', 'c']) expect((await enterAll(lanes, other, 3)).filter(isLane)).toHaveLength(2)
  lanes.close()
  await expect.poll(() => many.length).toBe(50)
})

it('counts deliveries, not jobs, so that small jobs fill the width too', async () => {
  const lanes = createLanes({ width: 10, depth: 1, places: 1000, now: () => 0 })
  expect((await enterAll(lanes, 'small', 100)).filter(isLane)).toHaveLength(20)
  const large = [lanes.enter('large', 64), lanes.enter('large', 64)]
  expect(await Promise.race([large[1], 'waits'])).toBe('waits')
  lanes.close()
})
