import { setTimeout } from 'node:timers/promises'
import type { Bench, Row } from './bench.ts'
import { measureHeap } from './edge/heap.ts'
import { measureRegistration } from './edge/registration.ts'
import { startOnWorkerd } from './edge/workerd.ts'
import { type Contender, startRelay } from './fanout/contenders.ts'
import { createEvent } from './fanout/feed.ts'
import { openSubscribers, paceAndMeasure, race, settle, warmUp } from './fanout/pacing.ts'

const runtimes: Readonly<Record<string, () => Promise<Contender>>> = {
  node: () => startRelay(),
  workerd: () => startRelay(startOnWorkerd),
}
/** Of 1,000 subscribers. */
const stopped = 50

/** The same functions in workerd, one Durable Object, beside Node. */
export const edge: Bench = {
  name: 'edge',
  describe:
    'events to 1, 100 and 1,000 SSE subscribers through workerd and Node, and what stopped readers cost; how soon a webhook takes effect',
  async *run({ seconds, only }) {
    for (const subscribers of [1, 100, 1_000]) {
      const known = new Map<string, number>()
      for (const [runtime, start] of Object.entries(runtimes)) {
        const name = `${runtime}, ${subscribers.toLocaleString('en')} subscribers`
        if (!name.includes(only)) continue
        const { speed, p50, p99 } = await measure(start, subscribers, seconds)
        yield { case: name, value: speed, unit: 'events/s', ratios: compare(known, speed) }
        yield { case: `${name}, half load, p50`, value: p50, unit: 'ms', ratios: {} }
        yield { case: `${name}, half load, p99`, value: p99, unit: 'ms', ratios: {} }
        known.set(runtime, speed)
      }
    }
    for (const [runtime, start] of Object.entries(runtimes)) {
      const name = `${runtime}, 1,000, 5 % stopped`
      if (name.includes(only)) yield* stopSome(name, start, seconds)
    }
    if ('heap'.includes(only)) yield* measureHeap(seconds)
    if ('webhook'.includes(only)) yield* measureRegistration()
  },
}

function compare(known: ReadonlyMap<string, number>, speed: number): Record<string, number> {
  return Object.fromEntries([...known].map(([name, value]) => [name, speed / value]))
}

function createSource(contender: Contender) {
  let sent = 0
  return {
    sent: () => sent,
    async send(count: number) {
      await contender.publish(Array.from({ length: count }, () => createEvent(sent++)))
    },
  }
}

async function measure(start: () => Promise<Contender>, subscribers: number, seconds: number) {
  const contender = await start()
  await warmUp(contender)
  const load = await openSubscribers(contender, [contender.path], subscribers)
  try {
    const { send, sent } = createSource(contender)
    const total = () => sent() * subscribers
    await send(20)
    await settle(load, total())
    const speed = await race(load, send, sent, subscribers, seconds)
    return { speed, ...(await paceAndMeasure(load, send, total, speed / subscribers / 2, seconds)) }
  } finally {
    await load.end()
    await contender.stop()
  }
}

/** Of 1,000 readers some are stopped, as by a debugger: what does the server hold for them? */
async function* stopSome(name: string, start: () => Promise<Contender>, seconds: number): AsyncGenerator<Row> {
  const contender = await start()
  await warmUp(contender)
  const others = await openSubscribers(contender, [contender.path], 1_000 - stopped)
  const some = await openSubscribers(contender, [contender.path], stopped)
  try {
    const { send, sent } = createSource(contender)
    await send(20)
    await settle(others, sent() * (1_000 - stopped))
    await race(others, send, sent, 1_000 - stopped, seconds)
    const before = await contender.memory()
    some.signal('SIGSTOP')
    let peak = before
    const watch = (async () => {
      for (let i = 0; i < seconds * 5; i++) {
        await setTimeout(200)
        peak = Math.max(peak, await contender.memory())
      }
    })()
    const speed = await race(others, send, sent, 1_000 - stopped, seconds)
    await watch
    yield { case: name, value: speed, unit: 'events/s', ratios: {} }
    yield { case: `${name}, memory`, value: peak / 2 ** 20, unit: 'MB', ratios: { before: peak / before } }
  } finally {
    some.signal('SIGCONT')
    await some.end()
    await others.end()
    await contender.stop()
  }
}
