import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { listen, type Serving, startServing, until } from './serving.ts'

let serving: Serving | undefined

afterEach(() => serving?.stop())

/** A client that sends a request and never reads the answer. */
function openStalled(url: string): Promise<Socket> {
  return new Promise((resolve) => {
    const { port } = new URL(url)
    const socket = connect(Number(port), '127.0.0.1', () => {
      socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n')
      socket.pause()
      resolve(socket)
    })
    socket.on('error', () => undefined)
  })
}

test('cuts a reader that takes nothing, while others go on', async () => {
  serving = await startServing({ limits: { stall: 500 } })
  const writer = await serving.createWriter()
  const listener = listen(serving.url, '')
  const socket = await openStalled(serving.url)
  await until(async () => (await serving?.countStreams()) === 2)
  // More than the kernel's buffers on both sides hold.
  const padding = 'x'.repeat(10_000)
  const count = 3_000
  for (let i = 0; i < count; i += 50) {
    await writer.append(...Array.from({ length: 50 }, (_, j) => ({ name: `n-${i + j}`, padding })))
  }
  await until(async () => (await serving?.countStreams()) === 1)
  await until(() => listener.messages.length === count + 1)
  listener.close()
  socket.destroy()
  expect(listener.resumed).toHaveLength(1)
  expect(listener.messages.slice(1).map(({ data }) => data.data.name)).toEqual(
    Array.from({ length: count }, (_, i) => `n-${i}`),
  )
  expect(serving.lines).toContainEqual({ level: 'info', message: 'cut a reader that took nothing for too long' })
  const metrics = await (await fetch(`${serving.url}/metrics`)).text()
  expect(metrics).toContain('relay_streams_opened_total{kind="sse"} 2\n')
  expect(metrics).toContain('relay_streams_cut_total{kind="sse",reason="slow"} 1\n')
  expect(metrics).toContain('relay_streams_cut_total{kind="sse",reason="failed"} 0\n')
  const [, sent] = /^relay_streams_sent_bytes_total\{kind="sse"\} (\d+)$/m.exec(metrics) ?? []
  expect(Number(sent)).toBeGreaterThan(count * padding.length)
})

test('refuses more streams than it may have, and takes new ones when others left', async () => {
  serving = await startServing({ limits: { maxStreams: 2 } })
  const listeners = [listen(serving.url, ''), listen(serving.url, '')]
  await until(() => listeners.every(({ messages }) => messages.length === 1))
  const refused = await fetch(`${serving.url}/v1/events`)
  expect(refused.status).toBe(503)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  for (const listener of listeners) listener.close()
  await until(async () => (await serving?.countStreams()) === 0)
  const taken = await fetch(`${serving.url}/v1/events`)
  expect(taken.status).toBe(200)
  await taken.body?.cancel()
})

test('ends all streams soon on shutdown, each whole and at its own time', async () => {
  serving = await startServing({ limits: { drain: 400 } })
  const writer = await serving.createWriter()
  const ends: number[] = []
  const texts = await Promise.all(Array.from({ length: 20 }, () => fetch(`${serving?.url}/v1/events`)))
  const reading = texts.map(async (response) => {
    const text = await response.text()
    ends.push(performance.now())
    return text
  })
  await writer.append({ name: 'last' })
  await new Promise((resolve) => setTimeout(resolve, 100))
  const begin = performance.now()
  await serving.stop()
  expect(performance.now() - begin).toBeLessThan(2_000)
  for (const text of await Promise.all(reading)) {
    expect(text).toContain('"name":"last"')
    expect(text.endsWith('\n\n')).toBe(true)
  }
  expect(Math.max(...ends) - Math.min(...ends)).toBeGreaterThan(100)
  serving = undefined
})
