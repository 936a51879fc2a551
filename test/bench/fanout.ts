import { setTimeout } from 'node:timers/promises'
import type { Bench, Row } from './bench.ts'
import { type Child, startChild } from './fanout/child.ts'
import { type Contender, findNchan, startNchan, startPeer, startRelay } from './fanout/contenders.ts'
import { createEvent } from './fanout/feed.ts'

interface Course {
  name: string
  start: () => Promise<Contender>
  subscribers: number
  /** Queries of the subscribers, in turn. */
  queries: string[]
}

interface Result {
  /** Deliveries a second at full load. */
  speed: number
  p50: number
  p99: number
  bytesPerConnection: number
}

const batchSize = 20

/** From the log to many readers; beside it, others that fan the same events out, from memory. */
export const fanout: Bench = {
  name: 'fanout',
  describe: 'events to 1 to 10,000 SSE subscribers, with and without filters, beside nchan, streamSSE and bare Node',
  async *run({ seconds, only }) {
    const nchan = findNchan()
    const relay = (name: string, subscribers: number, queries = ['']): Course => ({
      name,
      start: startRelay,
      subscribers,
      queries,
    })
    const peer = (name: string, start: Course['start']): Course => ({ name, start, subscribers: 1_000, queries: [''] })
    const courses: Course[] = [
      relay('1,000 subscribers', 1_000),
      peer('bare-node', () => startPeer('bare-node')),
      peer('hono-streamsse', () => startPeer('hono-streamsse')),
      ...(nchan === undefined ? [] : [peer('nchan', () => startNchan(nchan))]),
      relay('1,000, 100 filters', 1_000, createFilters(100)),
      relay('1,000, 1,000 filters', 1_000, createFilters(1_000)),
      relay('1 subscriber', 1),
      relay('100 subscribers', 100),
      relay('10,000 subscribers', 10_000),
    ]
    const known = new Map<string, number>()
    for (const course of courses.filter(({ name }) => name.includes(only))) {
      const result = await measure(course, seconds)
      const ratios: Record<string, number> = {}
      for (const [name, speed] of known) ratios[name] = result.speed / speed
      if (course.subscribers === 1_000 && course.queries.length === 1) known.set(course.name, result.speed)
      yield { case: course.name, value: result.speed, unit: 'events/s', ratios }
      yield* describe(course.name, result)
    }
  },
}

/** Different filters, each of which everything passes but one name: work for every one of them, and the same deliveries. */
function createFilters(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `?namespace=shop&name=!nobody-${i}`)
}

function* describe(name: string, { p50, p99, bytesPerConnection }: Result): Generator<Row> {
  yield { case: `${name}, half load, p50`, value: p50, unit: 'ms', ratios: {} }
  yield { case: `${name}, half load, p99`, value: p99, unit: 'ms', ratios: {} }
  if (bytesPerConnection > 0) {
    yield { case: `${name}, per idle connection`, value: bytesPerConnection / 1024, unit: 'KB', ratios: {} }
  }
}

async function measure({ start, subscribers, queries }: Course, seconds: number): Promise<Result> {
  const contender = await start()
  await warmUp(contender)
  const load = startChild('load.ts', [])
  try {
    const before = await contender.memory()
    const paths = queries.map((query) => `${contender.path}${query}`)
    const opened = load.hear('open')
    load.send({ type: 'open', order: { port: contender.port, paths, count: subscribers } })
    await opened
    await setTimeout(500)
    const bytesPerConnection =
      (Math.max(0, (await contender.memory()) - before) / subscribers) * Number(subscribers >= 1_000)

    let sent = 0
    const send = async (count: number) => {
      await contender.publish(Array.from({ length: count }, () => createEvent(sent++)))
    }
    await send(batchSize)
    await settle(load, sent * subscribers)
    const speed = await race(load, send, () => sent, subscribers, seconds)
    await read(load)
    await pace(send, speed / subscribers / 2, seconds)
    const { latencies } = await settle(load, sent * subscribers)
    const sorted = latencies.toSorted((a, b) => a - b)
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
    return { speed, p50: at(0.5), p99: at(0.99), bytesPerConnection }
  } finally {
    await load.end()
    await contender.stop()
  }
}

/** Compiles the server's code and grows its heap, so that what is measured is one more connection. */
async function warmUp({ port, path }: Contender): Promise<void> {
  const load = startChild('load.ts', [])
  const opened = load.hear('open')
  load.send({ type: 'open', order: { port, paths: [path], count: 500 } })
  await opened
  await load.end()
  await setTimeout(200)
}

/** Sends as fast as readers take, never far ahead of them: a server that is drowned measures its buffers. */
async function race(
  load: Child,
  send: (count: number) => Promise<void>,
  sent: () => number,
  subscribers: number,
  seconds: number,
): Promise<number> {
  const begin = performance.now()
  const first = sent()
  const ahead = Math.max(200, Math.min(5_000, 400_000 / subscribers))
  while (performance.now() - begin < seconds * 1_000) {
    await send(Math.max(1, Math.min(batchSize, Math.ceil(ahead / 4))))
    while (sent() - (await read(load)).received / subscribers > ahead) await setTimeout(1)
  }
  await settle(load, sent() * subscribers)
  return ((sent() - first) * subscribers * 1_000) / (performance.now() - begin)
}

/** Sends at an even pace, a batch every few milliseconds. */
async function pace(send: (count: number) => Promise<void>, perSecond: number, seconds: number): Promise<void> {
  const begin = performance.now()
  let count = 0
  for (let now = 0; now < seconds * 1_000; now = performance.now() - begin) {
    const due = Math.floor((now / 1_000) * perSecond) - count
    if (due > 0) await send(due)
    count += Math.max(0, due)
    await setTimeout(Math.max(2, 1_000 / perSecond))
  }
}

/** Waits until everything arrived, exactly once. */
async function settle(load: Child, expected: number): Promise<{ received: number; latencies: number[] }> {
  const end = performance.now() + 60_000
  const latencies: number[] = []
  for (;;) {
    const answer = await read(load)
    for (const latency of answer.latencies) latencies.push(latency)
    if (answer.received > expected) throw new Error(`${answer.received} events arrived of ${expected}`)
    if (answer.received === expected) return { received: answer.received, latencies }
    if (performance.now() > end) throw new Error(`only ${answer.received} events arrived of ${expected}`)
    await setTimeout(5)
  }
}

async function read(load: Child): Promise<{ received: number; latencies: number[] }> {
  const told = load.hear<{ received: number; latencies: number[] }>('read')
  load.send({ type: 'read' })
  return told
}
