import { setTimeout } from 'node:timers/promises'
import { type Child, startChild } from './child.ts'
import type { Contender } from './contenders.ts'

/** How late events arrived, in ms. */
export interface Lateness {
  p50: number
  p99: number
}

/** Appends so many events. */
export type Send = (count: number) => Promise<void>

const batchSize = 20

/** Starts a process of subscribers, and waits until all have their first bytes. */
export async function openSubscribers(contender: Contender, paths: string[], count: number): Promise<Child> {
  const load = startChild('load.ts', [])
  const opened = load.hear('open')
  load.send({ type: 'open', order: { port: contender.port, paths, count } })
  await opened
  return load
}

/** Compiles the server's code and grows its heap, so that what is measured is one more connection. */
export async function warmUp(contender: Contender): Promise<void> {
  const load = await openSubscribers(contender, [contender.path], 500)
  await load.end()
  await setTimeout(200)
}

/** Sends as fast as readers take, never far ahead of them: a server that is drowned measures its buffers. */
export async function race(
  load: Child,
  send: Send,
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
async function pace(send: Send, perSecond: number, seconds: number): Promise<void> {
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
export async function settle(load: Child, expected: number): Promise<number[]> {
  const end = performance.now() + 60_000
  const latencies: number[] = []
  for (;;) {
    const answer = await read(load)
    for (const latency of answer.latencies) latencies.push(latency)
    if (answer.received > expected) throw new Error(`${answer.received} events arrived of ${expected}`)
    if (answer.received === expected) return latencies
    if (performance.now() > end) throw new Error(`only ${answer.received} events arrived of ${expected}`)
    await setTimeout(5)
  }
}

async function read(load: Child): Promise<{ received: number; latencies: number[] }> {
  const told = load.hear<{ received: number; latencies: number[] }>('read')
  load.send({ type: 'read' })
  return told
}

/**
 * Sends at an even pace, and tells how late events came.
 * @param total how many will have been sent to how many.
 */
export async function paceAndMeasure(
  load: Child,
  send: Send,
  total: () => number,
  perSecond: number,
  seconds: number,
): Promise<Lateness> {
  await read(load)
  await pace(send, perSecond, seconds)
  const sorted = (await settle(load, total())).toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  return { p50: at(0.5), p99: at(0.99) }
}
