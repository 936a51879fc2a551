import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RelayMessage, subscribe } from '../../shared/client.ts'
import { type Listener, listen, type Message, type SampleWriter, until } from '../functions/serving.ts'
import { openSocket, type TestSocket } from './open-socket.ts'
import { type Running, runtimes } from './runtimes.ts'

describe.each(runtimes)('streams on $name', ({ start }) => {
  let running: Running
  let writer: SampleWriter
  const open: (Listener | TestSocket)[] = []

  const follow = (query: string) => {
    const listener = listen(running.url, query)
    open.push(listener)
    return listener
  }
  const connectSocket = async (query: string) => {
    const socket = await openSocket(running.url, query)
    open.push(socket)
    return socket
  }
  const events = (listener: Listener): Message[] => listener.messages.filter(({ type }) => type === 'message')
  const names = (listener: Listener) => events(listener).map(({ data }) => data.data.name)
  const isReady = (listener: Listener) => listener.messages.some(({ type }) => type === 'ready')

  beforeAll(async () => {
    running = await start({ limits: { heartbeat: 300, linger: 200, drain: 50 } })
    writer = await running.createWriter()
  })
  afterEach(async () => {
    for (const one of open.splice(0)) one.close()
    await until(async () => (await running.countStreams()) === 0, 30_000)
  })
  afterAll(() => running.stop())

  test('say ready, tell what passes the filter, and resume after the last that was told', async () => {
    const listener = follow('?namespace=shop&phase.to=Failed')
    await until(() => isReady(listener))
    const failed = { changes: [{ type: 'phase', from: 'Running', to: 'Failed' }] }
    await writer.append({ name: 'a', ...failed }, { name: 'b' }, { name: 'c', namespace: 'bank', ...failed })
    await until(() => names(listener).length === 1)
    listener.breakOff()
    await writer.append({ name: 'd', ...failed })
    await until(() => names(listener).length === 2, 30_000)
    expect(names(listener)).toEqual(['a', 'd'])
    expect(listener.resumed[0]).toBeNull()
    expect(listener.resumed[1]).not.toBeNull()
  })

  test('tell current objects, then what comes', async () => {
    await writer.append({ name: 'state-1' }, { name: 'state-2' })
    const listener = follow('?from=state&name=state-*')
    await until(() => listener.messages.some(({ type }) => type === 'live'))
    await writer.append({ name: 'state-3' })
    await until(() => names(listener).includes('state-3'))
    expect(names(listener)).toEqual(['state-1', 'state-2', 'state-3'])
    expect(events(listener).map(({ data }) => data.synthetic)).toEqual(['state', 'state', undefined])
  })

  test('stay open while nothing happens, and move the cursor on', async () => {
    const listener = follow('?name=nobody')
    await until(() => isReady(listener))
    const before = listener.messages[0]?.id
    await writer.append({ name: 'somebody' })
    await new Promise((resolve) => setTimeout(resolve, 2_000))
    listener.breakOff()
    await until(() => listener.resumed.length === 2, 30_000)
    expect(listener.resumed[1]).not.toBe(before)
    expect(events(listener)).toHaveLength(0)
  })

  test('say reset where what follows a cursor is no longer kept', async () => {
    const page = await fetch(`${running.url}/v1/events?from=now`, { headers: { accept: 'application/json' } })
    const { next } = (await page.json()) as { next: string }
    const keeper = await running.createWriter('leases', 5)
    for (let i = 0; i < 20; i++) await keeper.append({ name: `lease-${i}` })
    const listener = follow(`?from=${next}`)
    await until(() => events(listener).length >= 5)
    expect(listener.messages[0]).toMatchObject({ type: 'reset', data: { reason: 'trimmed' } })
    expect(names(listener).at(-1)).toBe('lease-19')
    const late = await fetch(`${running.url}/v1/events?from=${next}`, { headers: { accept: 'application/json' } })
    expect(late.status).toBe(410)
  })

  test('over a WebSocket tell the same, and take another filter on the way', async () => {
    const socket = await connectSocket('?name=a*')
    await until(() => socket.count('ready') === 1)
    await writer.append({ name: 'a1' }, { name: 'b1' }, { name: 'a2' })
    await until(() => socket.names().length === 2)
    socket.send('{"filter": {"name": ["b*"]}}')
    await until(() => socket.count('ready') === 2)
    await writer.append({ name: 'a3' }, { name: 'b2' })
    await until(() => socket.names().length === 3)
    expect(socket.names()).toEqual(['a1', 'a2', 'b2'])
    socket.send('{"filter": {"phase": "Sleeping"}}')
    await until(() => socket.lines.at(-1)?.field === 'filter.phase')
    socket.send('{"relay":"ping"}')
    await until(() => socket.count('pong') === 1 && socket.count('heartbeat') > 0)
    socket.close()
    expect(await socket.closed).toBe(1000)
  })

  test('reach a reader through shared/client.ts exactly once, though what serves is replaced again and again', async () => {
    const total = 300
    const abort = new AbortController()
    const got: string[] = []
    const page = await fetch(`${running.url}/v1/events?from=now`, { headers: { accept: 'application/json' } })
    const { next } = (await page.json()) as { next: string }
    const tell = (message: RelayMessage) => {
      if ('relay' in message) throw new Error(`the stream says ${message.relay}`)
      got.push(message.data.name ?? '')
    }
    const readers = [
      (async () => {
        for await (const message of subscribe({
          url: running.url,
          cursor: next,
          filter: { name: 'r-*' },
          signal: abort.signal,
          longestPause: 200,
        })) {
          tell(message)
        }
      })(),
    ]
    const heard: string[] = []
    let cursor = next
    const followBySocket = async () => {
      while (heard.length < total) {
        const socket = await openSocket(running.url, `?name=r-*&from=${cursor}`)
        socket.onLine = (line) => {
          cursor = line.cursor ?? cursor
          if (line.data !== undefined) heard.push(line.data.name)
          if (heard.length >= total) socket.close()
        }
        await socket.closed
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    const bySocket = followBySocket()
    for (let i = 0; i < total; i += 5) {
      await writer.append(...[0, 1, 2, 3, 4].map((j) => ({ name: `r-${i + j}` })))
      if (i === 100 || i === 200) await running.restart()
      else await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await until(() => got.length >= total && heard.length >= total, 60_000)
    abort.abort()
    await Promise.all([...readers, bySocket])
    const expected = Array.from({ length: total }, (_, i) => `r-${i}`)
    expect(got).toEqual(expected)
    expect(heard).toEqual(expected)
  })

  test('live on without Redis, and tell what comes once it is back, once', async () => {
    const listener = follow('?name=k-*')
    const socket = await connectSocket('?name=k-*')
    await until(() => isReady(listener) && socket.count('ready') === 1)
    const expected: string[] = []
    for (const round of [0, 1]) {
      for (let i = 0; i < 5; i++) {
        expected.push(`k-${round}-${i}`)
        await writer.append({ name: `k-${round}-${i}` })
      }
      // In the second round before all of it is told.
      if (round === 0) await until(() => names(listener).length === 5 && socket.names().length === 5)
      await running.redis.kill()
      const refused = await fetch(`${running.url}/v1/webhooks`)
      expect(refused.status).toBe(503)
      expect(refused.headers.get('retry-after')).not.toBeNull()
      await running.redis.restart()
      // Whoever writes to a server that was started anew takes the log up again, in an epoch that goes on from the last.
      writer = await running.createWriter()
    }
    await until(() => names(listener).length === expected.length && socket.names().length === expected.length, 60_000)
    expect(names(listener)).toEqual(expected)
    expect(socket.names()).toEqual(expected)
    expect(listener.resumed).toHaveLength(1)
  })

  test('forget a client that leaves, and stop following when nobody listens', async () => {
    const abort = new AbortController()
    const response = await fetch(`${running.url}/v1/events`, { signal: abort.signal })
    await response.body?.getReader().read()
    expect(await running.countStreams()).toBe(1)
    const tails = async () => String(await running.client.call('CLIENT', 'LIST')).split('name=relay-tail').length - 1
    await until(async () => (await tails()) === 1)
    abort.abort()
    await until(async () => (await running.countStreams()) === 0)
    await until(async () => (await tails()) === 0)
  })

  test.each([
    ['stream', '/v1/events', 'Accept: text/event-stream'],
    [
      'WebSocket',
      '/v1/events/ws',
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ],
  ])('cut a reader that takes nothing, and nobody else: %s', async (_, path, headers) => {
    const stalled = connect(Number(new URL(running.url).port), '127.0.0.1')
    stalled.on('error', () => undefined)
    stalled.write(`GET ${path}?from=start HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers}\r\n\r\n`)
    await new Promise((resolve) => stalled.once('data', resolve))
    stalled.pause()
    const listener = follow('?name=other')
    await until(() => isReady(listener))
    const padding = 'x'.repeat(60_000)
    const isCut = async () => (await running.countStreams()) === 1
    for (let i = 0; i < 400 && !(await isCut()); i++) {
      await writer.append(...Array.from({ length: 10 }, () => ({ name: 'big', padding })))
    }
    await until(isCut, 60_000)
    await writer.append({ name: 'other' })
    await until(() => names(listener).length === 1)
    stalled.destroy()
  })
})
