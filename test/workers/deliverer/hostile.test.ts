import type { Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import type { Attempt } from '../../../shared/webhook/delivery.ts'
import { createSender, type Sender, type SenderOptions } from '../../../workers/deliverer/send.ts'
import { selfSigned } from './certificate.ts'
import { listenRaw, startRaw } from './raw.ts'
import { placeOf } from './receiver.ts'

const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function startSender(options: Partial<SenderOptions> = {}): Sender {
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
  const sender = createSender({ policy, resolve, deadline: 300, now: Date.now, ...options })
  closers.push(() => sender.close())
  return sender
}
const post = async (sender: Sender, url: string): Promise<Attempt> =>
  (await sender.send({ ...placeOf(url), headers: { 'content-type': 'text/plain' }, body: 'x' })).attempt

const ok = 'HTTP/1.1 200 OK\r\n'
const drip = (socket: Socket, text: string, next = text) => {
  socket.write(text)
  const timer = setInterval(() => socket.write(next), 20)
  socket.on('close', () => clearInterval(timer))
}
/** Sends the same again for as long as it is taken; answers how much was. */
const pour = (socket: Socket, head: string, piece: string, count: (bytes: number) => void = () => undefined) => {
  const more = () => {
    while (!socket.destroyed && socket.write(piece)) count(piece.length)
  }
  socket.write(head)
  socket.on('drain', more)
  more()
}
const bomb = gzipSync(Buffer.alloc(50_000_000))

type Speak = (socket: Socket) => void
const kinds: [name: string, expected: Partial<Attempt>, speak: Speak][] = [
  ['accepts and is silent', { error: 'timeout' }, () => undefined],
  ['drips a body', { error: 'timeout', status: 200 }, (s) => drip(s, `${ok}content-length: 9999\r\n\r\n`, 'a')],
  ['drips a status line', { error: 'timeout' }, (s) => drip(s, 'HTTP/1.1 200 ', 'O')],
  ['drips headers', { error: 'timeout' }, (s) => drip(s, ok, 'x: y\r\n')],
  [
    'drips chunks',
    { error: 'timeout', status: 200 },
    (s) => drip(s, `${ok}transfer-encoding: chunked\r\n\r\n`, '1\r\na\r\n'),
  ],
  ['only ever continues', { error: 'timeout' }, (s) => drip(s, 'HTTP/1.1 103 Early Hints\r\n\r\n')],
  ['pours out what comes before an answer', {}, (s) => pour(s, '', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(500))],
  ['sends endless headers', { error: 'protocol' }, (s) => pour(s, ok, 'x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(500))],
  ['sends one endless header', { error: 'protocol' }, (s) => pour(s, `${ok}x: `, 'y'.repeat(16_384))],
  ['sends a long status line', { status: 200 }, (s) => s.end(`HTTP/1.1 200 ${'O'.repeat(100_000)}\r\n\r\n`)],
  [
    'pours out an endless body',
    { status: 200 },
    (s) => pour(s, `${ok}content-length: 99999999999\r\n\r\n`, 'a'.repeat(16_384)),
  ],
  [
    'pours out endless chunks',
    { status: 200 },
    (s) => pour(s, `${ok}transfer-encoding: chunked\r\n\r\n`, `4000\r\n${'a'.repeat(16_384)}\r\n`),
  ],
  [
    'sends a bomb',
    { status: 200 },
    (s) =>
      s.end(
        Buffer.concat([Buffer.from(`${ok}content-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`), bomb]),
      ),
  ],
  ['speaks another protocol', { error: 'protocol' }, (s) => s.end('220 smtp ready\r\n')],
  ['speaks HTTP/2 only', { error: 'protocol' }, (s) => s.end(Buffer.from('000000040000000000', 'hex'))],
  ['gives two lengths', { error: 'body' }, (s) => s.end(`${ok}content-length: 1\r\ncontent-length: 2\r\n\r\nab`)],
  [
    'gives a length and chunks',
    { error: 'body' },
    (s) => s.end(`${ok}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`),
  ],
  [
    'switches protocols',
    { error: 'reset' },
    (s) => s.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'),
  ],
  ['closes without an answer', { error: 'reset' }, (s) => s.end()],
  ['resets', { error: 'reset' }, (s) => s.resetAndDestroy()],
  [
    'resets inside the body',
    { error: 'body', status: 200 },
    (s) => s.write(`${ok}content-length: 10\r\n\r\nabc`, () => setTimeout(() => s.resetAndDestroy(), 50)),
  ],
  [
    'resets after the body',
    { status: 200 },
    (s) => s.write(`${ok}content-length: 3\r\n\r\nabc`, () => setTimeout(() => s.resetAndDestroy(), 50)),
  ],
  [
    'ends before its content-length',
    { error: 'body', status: 200 },
    (s) => s.end(`${ok}content-length: 10\r\n\r\nabc`),
  ],
  [
    'redirects',
    { error: 'redirect', status: 307 },
    (s) => s.end('HTTP/1.1 307 No\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n'),
  ],
]

describe('a hostile receiver ends in a recorded attempt, and keeps no connection, if it', () => {
  it.each(kinds)('%s', async (_, expected, speak) => {
    const { url, sockets, close } = await startRaw(speak)
    closers.push(close)
    const attempt = await post(startSender(), url)
    expect(attempt).toMatchObject(expected)
    // What never comes to an answer ends by whichever limit is reached first.
    if ('status' in expected || 'error' in expected) expect(attempt.error).toBe(expected.error)
    else expect(attempt.error).toBeDefined()
    expect(attempt.error === undefined || attempt.detail).toBeTruthy()
    expect(attempt.response?.length ?? 0).toBeLessThanOrEqual(1024)
    expect(attempt.latencyMs).toBeLessThan(5000)
    // Not because the sender was closed: it still lives. One that behaved well in the end may be kept.
    const isKept = expected.status === 200 && attempt.error === undefined
    await expect.poll(() => sockets.size).toBeLessThanOrEqual(isKept ? 1 : 0)
  })

  it('sends more than it said: what is too much is never taken for the next answer', async () => {
    const { url, close } = await startRaw((socket, request) => {
      const isFirst = request.includes(' /first ')
      socket.write(
        `HTTP/1.1 ${isFirst ? 200 : 500} X\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged`,
      )
    })
    closers.push(close)
    const sender = startSender()
    expect(await post(sender, `${url}first`)).toMatchObject({ status: 200, response: 'ok' })
    for (let n = 0; n < 5; n++) {
      const next = await post(sender, `${url}next`)
      expect(next.error).toBeDefined()
      expect(next.response ?? 'ok').toBe('ok')
    }
  })

  it('pours out an answer: no more is taken than must be', async () => {
    let sent = 0
    const { url, close } = await startRaw((socket) =>
      pour(socket, `${ok}content-length: 99999999999\r\n\r\n`, 'a'.repeat(16_384), (bytes) => {
        sent += bytes
      }),
    )
    closers.push(close)
    const attempt = await post(startSender({ deadline: 5000 }), url)
    expect(attempt).toMatchObject({ status: 200, response: 'a'.repeat(1024) })
    expect(sent).toBeLessThan(20_000_000)
  })
})

describe('a hostile receiver with TLS', () => {
  const speakTls = async (options: TlsOptions) => {
    const server = createTlsServer({ ...selfSigned, ...options }, (socket) => {
      socket.on('error', () => undefined)
      socket.end(`${ok}content-length: 0\r\n\r\n`)
    })
    server.on('tlsClientError', () => undefined)
    const raw = await listenRaw(server, 'https')
    closers.push(raw.close)
    return { ...raw, url: raw.url.replace('127.0.0.1', 'hook.test') }
  }
  const trusting = { tls: { ca: selfSigned.cert }, deadline: 3000 }

  it.each<[string, TlsOptions, Partial<SenderOptions>, (url: string) => string]>([
    ['nobody vouches for', {}, { deadline: 3000 }, (url) => url],
    ['has a certificate for another name', {}, trusting, (url) => url.replace('hook.test', 'other.test')],
    ['speaks an old version only', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }, trusting, (url) => url],
    ['speaks HTTP/2 only', { ALPNProtocols: ['h2'] }, trusting, (url) => url],
  ])('that %s gets nothing', async (_, server, client, change) => {
    const { url, sockets } = await speakTls(server)
    expect(await post(startSender(client), change(url))).toMatchObject({ error: 'tls' })
    await expect.poll(() => sockets.size).toBe(0)
  })

  it('that speaks no TLS is told by the reason alone', async () => {
    const { url, close } = await startRaw((socket) => socket.end(`${ok}content-length: 0\r\n\r\n`))
    closers.push(close)
    const attempt = await post(startSender(), url.replace('http:', 'https:'))
    expect(attempt).toMatchObject({ error: 'tls', detail: 'TLS: wrong version number' })
  })

  it('that never finishes its handshake ends at the deadline', async () => {
    const { url, sockets, close } = await startRaw(() => undefined)
    closers.push(close)
    expect(await post(startSender(), url.replace('http:', 'https:'))).toMatchObject({ error: 'timeout' })
    await expect.poll(() => sockets.size).toBe(0)
  })
})

it('hostile receivers, however many, cost no memory that lasts', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const open: Set<Socket>[] = []
  const urls: string[] = []
  for (const [, , speak] of kinds) {
    const { url, sockets, close } = await startRaw(speak)
    closers.push(close)
    urls.push(url)
    open.push(sockets)
  }
  const sender = startSender({ deadline: 100 })
  const round = async () => {
    await Promise.all(urls.flatMap((url) => Array.from({ length: 5 }, () => post(sender, url))))
    await expect.poll(() => open.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(urls.length * 5)
    collect()
    return process.memoryUsage().heapUsed
  }
  await round()
  const before = await round()
  for (let n = 0; n < 6; n++) await round()
  // Six more rounds of 120 requests: what stays of each is far less than the smallest thing that was read.
  expect((await round()) - before).toBeLessThan(8_000_000)
})
