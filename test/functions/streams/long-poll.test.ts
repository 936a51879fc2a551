import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleWriter, type Serving, startServing, until } from '../serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing()
  writer = await serving.createWriter()
})
afterAll(() => serving.stop())

async function countReads(): Promise<number> {
  const stats = await serving.client.info('commandstats')
  return Number(/cmdstat_xrange:calls=(\d+)/.exec(stats)?.[1] ?? 0)
}

test('a hundred that wait, each for something else, ask Redis for nothing while others are told of', async () => {
  await writer.append({ name: 'first' })
  const waiting = Array.from({ length: 100 }, async (_, i) => {
    const address = `${serving.url}/v1/events?from=start&name=wanted-${i}&wait=60`
    const response = await fetch(address, { headers: { accept: 'application/json' } })
    return (await response.json()) as { events: { data: { name: string } }[]; next: string }
  })
  await until(async () => (await serving.countStreams()) === 100)
  const before = await countReads()
  const appends = 200
  for (let i = 0; i < appends; i++) await writer.append({ name: `other-${i}` })
  // Each append looks at an entry itself.
  expect((await countReads()) - before - appends).toBeLessThan(50)
  const last = await writer.append(...Array.from({ length: 100 }, (_, i) => ({ name: `wanted-${i}` })))
  for (const [i, { events, next }] of (await Promise.all(waiting)).entries()) {
    expect(events.map(({ data }) => data.name)).toEqual([`wanted-${i}`])
    expect(next).toContain(`-${last.toString(36)}-`)
  }
  expect(await serving.countStreams()).toBe(0)
})

test('a page holds what was in the log before it was asked for, however far the tail has come', async () => {
  const leave = new AbortController()
  const stream = await fetch(`${serving.url}/v1/events`, { signal: leave.signal })
  await until(async () => (await serving.countStreams()) === 1)
  for (let round = 0; round < 40; round++) {
    await writer.append(...Array.from({ length: 50 }, (_, i) => ({ name: `round-${round}-${i}` })))
    const address = `${serving.url}/v1/events?from=start&name=round-${round}-*&limit=1000`
    const page = await fetch(address, { headers: { accept: 'application/json' } })
    expect(((await page.json()) as { events: unknown[] }).events).toHaveLength(50)
  }
  leave.abort()
  await stream.body?.cancel().catch(() => undefined)
})
