import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleWriter, type Serving, startServing, until } from '../serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing({ limits: { heartbeat: 200, stall: 1_000, drain: 50 } })
  writer = await serving.createWriter()
})
afterAll(() => serving.stop())

const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
const version = 'Sec-WebSocket-Version: 13\r\n'

/** A connection as it comes, with all that it received. */
function dial(path: string, headers: string): { socket: Socket; text: () => string; closed: Promise<void> } {
  const socket = connect(Number(new URL(serving.url).port), '127.0.0.1')
  let text = ''
  socket.on('data', (data) => {
    text += data.toString('latin1')
  })
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`)
  return { socket, text: () => text, closed }
}

async function upgrade(query = '') {
  const headers = `Connection: Upgrade\r\nUpgrade: websocket\r\n${version}${key}`
  const dialled = dial(`/v1/events/ws${query}`, headers)
  await until(() => dialled.text().includes('"relay":"ready"'))
  return dialled
}

/** A frame of a client. RFC 6455, section 5.2. */
function frame(code: number, payload: Uint8Array, isLast = true): Buffer {
  const mask = randomBytes(4)
  const head = [(isLast ? 0x80 : 0) | code]
  if (payload.length < 126) head.push(0x80 | payload.length)
  else head.push(0x80 | 126, payload.length >> 8, payload.length & 0xff)
  return Buffer.concat([Buffer.from(head), mask, payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0))])
}

/** The code of the last frame from the server, which says goodbye. */
const goodbye = (text: string) => Buffer.from(text.slice(-2), 'latin1').readUInt16BE()

const filterOf = (name: string) => Buffer.from(JSON.stringify({ filter: { name } }))

test('answers a client that offers another protocol as if it had not', async () => {
  for (const offer of ['h2c', 'TLS/1.0', 'h2c, websocket2']) {
    const headers = `Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: ${offer}\r\nAccept: application/json\r\n`
    const { text, closed } = dial('/v1/events', headers)
    await closed
    expect(text()).toMatch(/^HTTP\/1\.1 200 OK\r\n.*"events":\[/s)
  }
})

test.each([
  ['Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n', 426, 'version 13'],
  ['Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n', 400, 'Sec-WebSocket-Key'],
])('says what an upgrade lacks, and keeps no connection: %j', async (headers, status, words) => {
  const { text, closed } = dial('/v1/events/ws', `Connection: Upgrade\r\n${headers}`)
  await closed
  expect(text()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*sec-websocket-version: 13\\r\\n.*${words}`, 's'))
})

test('closes the connection of an upgrade that it refuses, whatever its client does', async () => {
  const headers = `Connection: Upgrade\r\nUpgrade: websocket\r\n${version}${key}`
  const { text, closed } = dial('/v1/events/ws?phase=x', headers)
  await closed
  expect(text()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*"field":"phase"/s)
})

test('reads a message in pieces, with pings between them', async () => {
  const { socket, text } = await upgrade('?name=nobody')
  const message = filterOf('pieced')
  const cuts = [0, 1, 2, 9, message.length]
  for (let i = 1; i < cuts.length; i++) {
    socket.write(frame(i === 1 ? 1 : 0, message.subarray(cuts[i - 1], cuts[i]), i === cuts.length - 1))
    if (i < cuts.length - 1) socket.write(frame(9, Buffer.from('?')))
  }
  await until(() => text().split('"relay":"ready"').length === 3)
  await writer.append({ name: 'pieced' })
  await until(() => text().includes('"name":"pieced"'))
  expect(text().split('\x8a\x01?')).toHaveLength(4)
  socket.destroy()
})

test.each([
  [
    'a message of endless empty pieces',
    [frame(1, Buffer.alloc(0), false), ...Array(400).fill(frame(0, Buffer.alloc(0), false))],
    1009,
  ],
  [
    'a message that is too long in sum',
    [frame(1, Buffer.alloc(60_000, 97), false), frame(0, Buffer.alloc(60_000, 97))],
    1009,
  ],
  ['a frame that is too long by itself', [Buffer.from([0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0])], 1009],
  ['a new message inside of another', [frame(1, Buffer.from('{'), false), frame(1, Buffer.from('}'))], 1002],
  ['a piece of no message', [frame(0, Buffer.from('x'))], 1002],
  ['a ping in pieces', [frame(9, Buffer.from('x'), false)], 1002],
  ['text that is none', [frame(1, Buffer.from([0xff, 0xfe]))], 1007],
  ['binary data', [frame(2, Buffer.from('x'))], 1003],
  ['a frame without a mask', [Buffer.from([0x81, 1, 97])], 1002],
])('closes on %s', async (_, frames, code) => {
  const { socket, text, closed } = await upgrade('?name=nobody')
  socket.write(Buffer.concat(frames))
  await closed
  expect(goodbye(text())).toBe(code)
})

test('closes on a client that asks for more changes than anybody waits for, and takes a few', async () => {
  const { socket, text } = await upgrade('?name=nobody')
  socket.write(Buffer.concat(Array.from({ length: 10 }, (_, i) => frame(1, filterOf(`n-${i}`)))))
  await until(() => text().split('"relay":"ready"').length === 12)
  socket.destroy()
  const flood = await upgrade('?name=nobody')
  flood.socket.write(Buffer.concat(Array.from({ length: 2_000 }, (_, i) => frame(1, filterOf(`n-${i}`)))))
  await flood.closed
  expect(goodbye(flood.text())).toBe(1008)
  await until(async () => (await serving.countStreams()) === 0)
})

test('piles up nothing for a client that pings and never reads', async () => {
  const { socket } = await upgrade('?name=nobody')
  const before = process.memoryUsage.rss()
  socket.pause()
  const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(9, Buffer.alloc(125))))
  let sent = 0
  const isCut = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  const pour = () => {
    while (!socket.destroyed && sent < 200 * 1024 * 1024) {
      sent += pings.length
      if (!socket.write(pings)) return
    }
  }
  socket.on('drain', pour)
  pour()
  await until(async () => (await serving.countStreams()) === 0, 20_000)
  socket.resume()
  await isCut
  expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024)
}, 30_000)

test('a client that is gone before it was answered leaves no stream behind', async () => {
  for (let i = 0; i < 50; i++) {
    const { socket } = dial('/v1/events/ws', `Connection: Upgrade\r\nUpgrade: websocket\r\n${version}${key}`)
    setTimeout(() => socket.destroy(), i / 10)
  }
  await until(async () => (await serving.countStreams()) === 0)
  expect(serving.lines.filter(({ level }) => level === 'error')).toEqual([])
})
