import { setTimeout } from 'node:timers/promises'
import { type Bench, median, type Row } from './bench.ts'
import { startChild } from './fanout/child.ts'
import { type Contender, findNchan, startNchan, startOnNode, startPeer, startRelay } from './fanout/contenders.ts'
import { createEvent } from './fanout/feed.ts'
import { type Lateness, openSubscribers, paceAndMeasure, race, type Send, settle, warmUp } from './fanout/pacing.ts'

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
  half: Lateness
  /** At the same number of events a second as all others. */
  same?: Lateness
  bytesPerConnection: number
}

/** The peer whose half load all others are compared at: half of its own would ask more of the faster. */
const yardstick = 'bare-node'
/** How often the others are measured with and without a stopped reader, in turn. */
const rounds = 16
/** Events of 50 kB: more than the kernel keeps for a connection. */
const flood = 120

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
      peer(yardstick, () => startPeer('bare-node')),
      relay('1,000 subscribers', 1_000),
      peer('hono-streamsse', () => startPeer('hono-streamsse')),
      ...(nchan === undefined ? [] : [peer('nchan', () => startNchan(nchan))]),
      relay('1,000, 100 filters', 1_000, createFilters(100)),
      relay('1,000, 1,000 filters', 1_000, createFilters(1_000)),
      relay('1 subscriber', 1),
      relay('100 subscribers', 100),
      relay('10,000 subscribers', 10_000),
    ]
    const known = new Map<string, Result>()
    for (const course of courses.filter(({ name }) => name.includes(only))) {
      const measured = known.get(yardstick)
      const common = course.subscribers === 1_000 && measured !== undefined ? measured.speed / 2_000 : undefined
      const result = await measure(course, seconds, common)
      const ratios: Record<string, number> = {}
      for (const [name, { speed }] of known) ratios[name] = result.speed / speed
      if (course.subscribers === 1_000 && course.queries.length === 1) known.set(course.name, result)
      yield { case: course.name, value: result.speed, unit: 'events/s', ratios }
      yield* describe(course.name, result, measured)
    }
    if ('1,000, one stopped'.includes(only)) yield* stopOne(seconds)
  },
}

/** Different filters, each of which everything passes but one name: work for every one of them, and the same deliveries. */
function createFilters(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `?namespace=shop&name=!nobody-${i}`)
}

function* describe(name: string, { half, same, bytesPerConnection }: Result, peer?: Result): Generator<Row> {
  yield { case: `${name}, half load, p50`, value: half.p50, unit: 'ms', ratios: {} }
  yield { case: `${name}, half load, p99`, value: half.p99, unit: 'ms', ratios: {} }
  for (const rank of same === undefined || peer === undefined ? [] : (['p50', 'p99'] as const)) {
    const value = same?.[rank] ?? Number.NaN
    const ratios = { [yardstick]: value / (peer?.half[rank] ?? Number.NaN) }
    yield { case: `${name}, as many as ${yardstick}, ${rank}`, value, unit: 'ms', ratios }
  }
  if (bytesPerConnection > 0) {
    yield { case: `${name}, per idle connection`, value: bytesPerConnection / 1024, unit: 'KB', ratios: {} }
  }
}

async function measure(
  { start, subscribers, queries }: Course,
  seconds: number,
  common: number | undefined,
): Promise<Result> {
  const contender = await start()
  await warmUp(contender)
  const before = await contender.memory()
  const paths = queries.map((query) => `${contender.path}${query}`)
  const load = await openSubscribers(contender, paths, subscribers)
  try {
    await setTimeout(500)
    const grown = Math.max(0, (await contender.memory()) - before)
    const bytesPerConnection = (grown / subscribers) * Number(subscribers >= 1_000)
    const { send, sent } = createSource(contender)
    const total = () => sent() * subscribers
    await send(20)
    await settle(load, total())
    const speed = await race(load, send, sent, subscribers, seconds)
    const half = await paceAndMeasure(load, send, total, speed / subscribers / 2, seconds)
    const isAble = common !== undefined && common < (speed / subscribers) * 0.8
    const same = isAble ? { same: await paceAndMeasure(load, send, total, common, seconds) } : {}
    return { speed, half, ...same, bytesPerConnection }
  } finally {
    await load.end()
    await contender.stop()
  }
}

/**
 * Of 1,000 readers one is a process that is stopped, as by a debugger, with more on its way to it than the kernel's buffers
 * hold: what do the others notice of it, until it is cut? Phases with and without follow each other closely and in changing
 * order, since what else the machine does takes longer than one of them. How much phases without differ among themselves says
 * what the figure is worth.
 */
async function* stopOne(seconds: number): AsyncGenerator<Row> {
  const contender = await startRelay((url) => startOnNode(url, { stall: 1_000 }))
  await warmUp(contender)
  const others = await openSubscribers(contender, [`${contender.path}?namespace=shop`], 999)
  const one = startChild('load.ts', [])
  const { send, sent } = createSource(contender)
  const total = () => sent() * 999
  const measureOthers = async (isStopped: boolean) => {
    const opened = one.hear('open')
    one.send({
      type: 'open',
      order: { port: contender.port, paths: [`${contender.path}?namespace=heavy,shop`], count: 1 },
    })
    await opened
    if (isStopped) one.signal('SIGSTOP')
    await contender.publish(Array.from({ length: flood }, (_, i) => createEvent(i, 'heavy', 'x'.repeat(50_000))))
    const { p99 } = await paceAndMeasure(others, send, total, pace, seconds)
    if (isStopped) one.signal('SIGCONT')
    const closed = one.hear('closed')
    one.send({ type: 'close' })
    await closed
    return p99
  }
  let pace = 0
  try {
    await send(20)
    await settle(others, total())
    pace = (await race(others, send, sent, 999, seconds)) / 999 / 2
    const [free, stopped]: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      for (const isStopped of round % 2 === 0 ? [false, true] : [true, false]) {
        const figures = isStopped ? stopped : free
        figures.push(await measureOthers(isStopped))
      }
    }
    const name = '1,000, one stopped, half load, p99'
    const [beside, alone] = [quiet(stopped), quiet(free)]
    yield { case: name, value: beside, unit: 'ms', ratios: { 'all read': beside / alone } }
    const halves = [0, 1].map((rest) => quiet(free.filter((_, i) => i % 2 === rest)))
    const noise = Math.max(...halves) / Math.min(...halves)
    yield { case: `${name}, all read`, value: alone, unit: 'ms', ratios: { 'its other half': noise } }
  } finally {
    await one.end()
    await others.end()
    await contender.stop()
  }
}

/** The lower quartile: what else runs on the machine only ever adds. */
function quiet(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b)
  return median(sorted.slice(0, Math.ceil(sorted.length / 2)))
}

/** Numbers events, and tells how many were sent. */
function createSource(contender: Contender): { send: Send; sent: () => number } {
  let sent = 0
  return {
    sent: () => sent,
    async send(count) {
      await contender.publish(Array.from({ length: count }, () => createEvent(sent++)))
    },
  }
}
