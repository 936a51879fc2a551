import { connect } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Serving, startServing } from '../serving.ts'

let serving: Serving
beforeAll(async () => {
  serving = await startServing()
})
afterAll(() => serving.stop())

/** Says goodbye with a payload; answers what the relay says. RFC 6455, section 5.5.1. */
async function sayGoodbye(payload: number[]): Promise<number> {
  const { port } = new URL(serving.url)
  const socket = connect(Number(port), '127.0.0.1')
  const head = `Host: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n`
  socket.write(`GET /v1/events/ws HTTP/1.1\r\n${head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`)
  // A mask of zeros leaves the payload as it is.
  socket.write(Buffer.from([0x88, 0x80 | payload.length, 0, 0, 0, 0, ...payload]))
  const pieces: Buffer[] = []
  socket.on('data', (piece: Buffer) => pieces.push(piece))
  await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(pieces).subarray(-2).readUInt16BE()
}

test.each([
  [[], 1000],
  [[0x03, 0xe9], 1001],
  [[0x0b, 0xb8, 0x62, 0x79, 0x65], 3000],
  [[0x03], 1002],
  [[0x03, 0xe7], 1002],
  [[0x03, 0xed], 1002],
  [[0xff, 0xff], 1002],
  [[0x03, 0xe8, 0xff], 1007],
])('answers a goodbye of %j with %i', async (payload, code) => {
  expect(await sayGoodbye(payload)).toBe(code)
})
