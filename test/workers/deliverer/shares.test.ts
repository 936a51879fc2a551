import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createLanes, type Lanes } from '../../../workers/deliverer/lanes.ts'

/** Places for jobs in the process, endpoints, events a second for each, and for how long, in s. */
const [places, endpoints, rate, span] = [256, 100, 20, 40]
/** How long an endpoint takes to answer, in ms; the dead one until the deadline. */
const [fast, slow, dead] = [10, 10_000, 15_000]

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const open: Lanes = {
  enter: async () => ({ run: (request) => request(), leave: () => undefined }),
  close: () => undefined,
}

/**
 * A process that has so many jobs in hand at a time, in the order in which they came, by a clock of its own.
 * @returns how many events the endpoints from the third on were sent, and how late the slowest hundredth of them began.
 */
async function run(lanes: Lanes, latencyOf: (endpoint: number) => number) {
  const queue: { endpoint: number; at: number }[] = []
  const delays: number[] = []
  let [head, free] = [0, places]
  const work = async (job: { endpoint: number; at: number }) => {
    const lane = await lanes.enter(String(job.endpoint), 1)
    if ('busyFor' in lane) setTimeout(() => add(job), lane.busyFor)
    else {
      const begin = Date.now()
      await lane.run(() => wait(latencyOf(job.endpoint)))
      lane.leave()
      if (job.endpoint >= 2) delays.push(begin - job.at)
    }
    free++
    pump()
  }
  const pump = () => {
    for (let job = queue[head]; free > 0 && job !== undefined; job = queue[head]) {
      head++
      free--
      void work(job)
    }
  }
  const add = (job: { endpoint: number; at: number }) => {
    queue.push(job)
    pump()
  }
  const arrivals = setInterval(() => {
    for (let endpoint = 0; endpoint < endpoints; endpoint++) add({ endpoint, at: Date.now() })
  }, 1000 / rate)
  await vi.advanceTimersByTimeAsync(span * 1000)
  clearInterval(arrivals)
  lanes.close()
  delays.sort((a, b) => a - b)
  return { sent: delays.length, late: delays[Math.floor(delays.length * 0.99)] ?? 0 }
}

const well = () => fast
const twoBad = (endpoint: number) => [dead, slow][endpoint] ?? fast
const shared = () => createLanes({ width: 20, depth: 4, places, now: Date.now })

it('a dead and a 10 s slow endpoint of 100 cost the other 98 less than 5 %', async () => {
  const before = await run(shared(), well)
  const after = await run(shared(), twoBad)
  expect(before.sent).toBeGreaterThanOrEqual((endpoints - 2) * (rate * span - 1))
  expect(after.sent / before.sent).toBeGreaterThan(0.95)
  expect(after.late - before.late).toBeLessThanOrEqual(fast)
})

it('and would cost them more and more, were there no shares', async () => {
  const before = await run(open, well)
  const after = await run(open, twoBad)
  expect(after.sent / before.sent).toBeLessThan(0.6)
})
