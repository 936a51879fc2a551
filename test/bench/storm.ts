import { setTimeout } from 'node:timers/promises'
import type { Bench, Row } from './bench.ts'
import { type Child, startChild } from './fanout/child.ts'
import { type Contender, startRelay } from './fanout/contenders.ts'
import { createEvent } from './fanout/feed.ts'

/** What the subscribers found, all of them together. */
interface Tally {
  /** Connections that were answered. */
  open: number
  /** Connections that were ever answered. */
  returned: number
  /** Events in their order. */
  told: number
  lost: number
  doubled: number
  /** Attempts that came to nothing. */
  refused: number
  /** Subscribers that were not told the last event. */
  behind: number
}

/** Events that happen while the relay is away. */
const missed = 50
/** Between events while all are there, in ms: at 10,000 subscribers, 50,000 deliveries a second. */
const every = 200

/** Everybody loses the connection at once and comes back at once, while events go on. */
export const storm: Bench = {
  name: 'storm',
  describe:
    '1,000 and 10,000 SSE subscribers that are cut off, or whose relay is killed, and come back: none lost or doubled',
  async *run({ only }) {
    for (const count of [1_000, 10_000]) {
      const name = `${count.toLocaleString('en')} subscribers`
      if (name.includes(only)) yield* weather(name, count)
    }
  },
}

async function* weather(name: string, count: number): AsyncGenerator<Row> {
  let server: { child: Child; port: number } | undefined
  let redisUrl = ''
  const launch = async (port: number) => {
    const child = startChild('server.ts', ['relay', redisUrl, `${port}`])
    server = { child, port: (await child.hear<{ port: number }>('listening')).port }
    return server
  }
  const contender = await startRelay(async (url) => {
    redisUrl = url
    const { port } = await launch(0)
    return { port, memory: async () => 0, stop: async () => server?.child.end() }
  })
  const load = startChild('returning.ts', [])
  const feed = createFeed(contender)
  try {
    load.send({ type: 'open', port: contender.port, count })
    await reach(load, ({ open }) => open === count, 'open')
    await feed.burst(20)
    await reach(load, ({ behind }) => behind === 0, 'told', feed.last())
    feed.run()
    let due = count
    for (const [what, strike] of [
      ['cut off', async () => load.send({ type: 'break' })],
      [
        'relay killed',
        async () => {
          server?.child.signal('SIGKILL')
          await reach(load, ({ open }) => open === 0, 'cut off')
          await feed.burst(missed)
          await launch(contender.port)
        },
      ],
    ] as const) {
      await setTimeout(1_000)
      await strike()
      const begin = performance.now()
      due += count
      await reach(load, ({ behind, returned }) => behind === 0 && returned === due, 'caught up', feed.last())
      yield {
        case: `${name}, ${what}, all caught up`,
        value: (performance.now() - begin) / 1_000,
        unit: 's',
        ratios: {},
      }
    }
    await feed.stop()
    const { told, lost, doubled } = await reach(load, ({ behind }) => behind === 0, 'told all', feed.last())
    if (lost + doubled > 0) throw new Error(`of ${told} events, ${lost} were lost and ${doubled} doubled`)
    yield { case: `${name}, none lost or doubled of`, value: told, unit: 'events', ratios: {} }
  } finally {
    await feed.stop()
    await load.end()
    await contender.stop()
  }
}

/** Asks the subscribers until something holds of them. */
async function reach(load: Child, holds: (tally: Tally) => boolean, what: string, last = -1): Promise<Tally> {
  const end = performance.now() + 60_000
  for (;;) {
    const told = load.hear<Tally>('read')
    load.send({ type: 'read', last })
    const tally = await told
    if (holds(tally)) return tally
    if (performance.now() > end) throw new Error(`not all are ${what} after a minute: ${JSON.stringify(tally)}`)
    await setTimeout(20)
  }
}

/** Numbered events, at an even pace or many at once. */
function createFeed(contender: Contender) {
  let next = 0
  let isOn = false
  let running = Promise.resolve()
  const burst = (count: number) => {
    // One after the other: the log takes batches in order.
    running = running.then(() => contender.publish(Array.from({ length: count }, () => createEvent(next++))))
    return running
  }
  return {
    last: () => next - 1,
    burst,
    run() {
      isOn = true
      void (async () => {
        for (; isOn; await setTimeout(every)) await burst(1)
      })()
    },
    async stop() {
      isOn = false
      await running
    },
  }
}
