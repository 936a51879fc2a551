import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { keys, type SampleWriter, type Serving, startServing, until } from './serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing({ limits: { heartbeat: 200, drain: 50 } })
  writer = await serving.createWriter()
})
afterAll(() => serving.stop())

interface Line {
  relay?: string
  cursor?: string
  field?: string
  scope?: string
  synthetic?: string
  data?: { name: string }
}

/** A standard WebSocket that collects lines. */
async function open(url: string, query: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/events/ws${query}`)
  const lines: Line[] = []
  const closed = new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)))
  socket.addEventListener('message', ({ data }) => {
    for (const line of String(data).trimEnd().split('\n')) lines.push(JSON.parse(line))
  })
  await new Promise<void>((resolve) => {
    socket.addEventListener('open', () => resolve())
    socket.addEventListener('error', () => resolve())
  })
  const names = () => lines.flatMap(({ data }) => (data === undefined ? [] : [data.name]))
  const count = (relay: string) => lines.filter((line) => line.relay === relay).length
  return { socket, lines, names, count, closed }
}

test('tells what happens, and changes its filter without loss or double', async () => {
  const { socket, lines, names, count, closed } = await open(serving.url, '?name=a*')
  await until(() => count('ready') === 1)
  await writer.append({ name: 'a1' }, { name: 'b1' }, { name: 'a2' })
  await until(() => names().length === 2)
  socket.send('{"filter": {"name": ["b*"]}}')
  await until(() => count('ready') === 2)
  await writer.append({ name: 'a3' }, { name: 'b2' })
  await until(() => names().length === 3)
  expect(names()).toEqual(['a1', 'a2', 'b2'])
  for (const [message, field] of [
    ['{"filter": {"phase": "Sleeping"}}', 'filter.phase'],
    ['{"filtre": {}}', 'message'],
    ['{"filter": [], "name": 1}', 'message'],
    ['{"filter": []}', 'message'],
    ['{', 'message'],
  ] as const) {
    socket.send(message)
    await until(() => lines.at(-1)?.field === field)
  }
  await writer.append({ name: 'b3' })
  await until(() => names().at(-1) === 'b3')
  await until(() => count('heartbeat') > 0)
  socket.close()
  expect(await closed).toBe(1000)
  await until(async () => (await serving.countStreams()) === 0)
})

test('starts anywhere a stream starts, with events of any size', async () => {
  const padding = 'ä'.repeat(60_000)
  await writer.append({ name: 'big', padding }, { name: 'small' })
  const { socket, lines, names } = await open(serving.url, '?from=start&name=big,small')
  await until(() => names().length === 2)
  expect(JSON.stringify(lines.find(({ data }) => data?.name === 'big'))).toContain(padding)
  socket.close()
  const state = await open(serving.url, '?from=state&name=small')
  await until(() => state.count('live') === 1)
  expect(state.lines.find(({ data }) => data !== undefined)?.synthetic).toBe('state')
  state.socket.close()
})

test('refuses before it upgrades', async () => {
  expect((await fetch(`${serving.url}/v1/events/ws`)).status).toBe(400)
  const handshake = async (path: string, more = '') => {
    const { port } = new URL(serving.url)
    const socket = connect(Number(port), '127.0.0.1')
    const key = 'dGhlIHNhbXBsZSBub25jZQ=='
    const head = `Host: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n`
    socket.write(`GET ${path} HTTP/1.1\r\n${head}Sec-WebSocket-Key: ${key}\r\n${more}\r\n`)
    const text = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
    socket.destroy()
    return text
  }
  // The vector of RFC 6455, section 1.3.
  expect(await handshake('/v1/events/ws')).toContain('sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  expect(await handshake('/v1/events/ws?phase=x')).toMatch(/^HTTP\/1\.1 400 .*"field":"phase"/s)
  expect(await handshake('/v1/pods')).toMatch(/^HTTP\/1\.1 200/)
  expect(await handshake('/v1/events/ws', 'Origin: https://evil.example.com\r\n')).toMatch(/^HTTP\/1\.1 403/)
  expect(await handshake('/v1/events/ws', `Origin: ${serving.url}\r\n`)).toMatch(/^HTTP\/1\.1 101/)
})

test('closes on frames that are none, and stays up', async () => {
  const { port } = new URL(serving.url)
  const head = `GET /v1/events/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n`
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (bytes) => {
      const socket = connect(Number(port), '127.0.0.1')
      socket.on('error', () => undefined)
      socket.resume()
      socket.write(head)
      socket.end(Buffer.from(bytes))
      await new Promise((resolve) => socket.once('close', resolve))
    }),
    { numRuns: 50 },
  )
  await until(async () => (await serving.countStreams()) === 0)
  expect(serving.lines.filter(({ level }) => level === 'error')).toEqual([])
})

test('takes tickets, and closes when the key is revoked', async () => {
  const own = await startServing({ auth: { mode: 'keys' }, limits: { review: 200 } })
  try {
    const store = createApiKeyStore(own.client, keys)
    const grants = [{ namespaces: ['shop'], resources: ['pods'] }]
    const { key, record } = await store.create({ tenant: 't', grants, actions: ['read'], createdAt: '' })
    const headers = { authorization: `Bearer ${key}` }
    const response = await fetch(`${own.url}/v1/tickets`, { method: 'POST', headers })
    const { ticket } = (await response.json()) as { ticket: string }
    const pods = await own.createWriter()
    const { socket, lines, names, count, closed } = await open(own.url, `?ticket=${ticket}`)
    await until(() => count('ready') === 1)
    await pods.append({ namespace: 'bank', name: 'c' }, { namespace: 'shop', name: 'a' })
    await until(() => names().length === 1)
    socket.send('{"filter": {"namespace": "bank", "resource": "pods"}}')
    await until(() => count('error') === 1)
    expect(lines.at(-1)?.relay).toBe('error')
    expect(names()).toEqual(['a'])
    await store.revoke(record.id)
    expect(await closed).toBe(1001)
  } finally {
    await own.stop()
  }
})

test('is counted by its kind, with all that it was sent', async () => {
  const read = async (name: string) => {
    const metrics = await (await fetch(`${serving.url}/metrics`)).text()
    return Number(new RegExp(`^${name}\\{kind="websocket"\\} (\\d+)$`, 'm').exec(metrics)?.[1])
  }
  const before = [await read('relay_streams_opened_total'), await read('relay_streams_sent_bytes_total')] as const
  const { socket, count } = await open(serving.url, '')
  await until(() => count('ready') === 1)
  expect(await read('relay_streams_opened_total')).toBe(before[0] + 1)
  expect(await read('relay_streams_sent_bytes_total')).toBeGreaterThan(before[1])
  socket.close()
})
