import { createServer as createTlsServer } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import { createSender, type SenderOptions } from '../../../workers/deliverer/send.ts'
import { selfSigned } from './certificate.ts'
import { placeOf, startReceiver } from './receiver.ts'

const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

/** A server that speaks bytes: `speak` is called when a request has come. */
async function startRaw(speak: (socket: Socket) => void): Promise<{ url: string; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    socket.once('data', () => speak(socket))
  })
  return { url: await listen(server, 'http', sockets), sockets }
}

async function listen(server: Server, scheme: string, sockets: Set<Socket>): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  return `${scheme}://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`
}

async function post(url: string, options: Partial<SenderOptions> = {}) {
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
  const sender = createSender({ policy, resolve, deadline: 300, now: Date.now, ...options })
  closers.push(() => sender.close())
  const { attempt, retryAfter } = await sender.send({
    ...placeOf(url),
    headers: { 'content-type': 'text/plain' },
    body: 'x',
  })
  return { ...attempt, retryAfter }
}

const ok = 'HTTP/1.1 200 OK\r\n'

describe('a hostile receiver ends in a recorded attempt', () => {
  const drip = (socket: Socket, text: string) => {
    const timer = setInterval(() => socket.write(text), 20)
    socket.on('close', () => clearInterval(timer))
  }
  it.each<[name: string, expected: object, speak: (socket: Socket) => void]>([
    ['accepts and is silent', { error: 'timeout' }, () => undefined],
    [
      'drips a body',
      { error: 'timeout', status: 200 },
      (s) => drip(s.write(`${ok}content-length: 9999\r\n\r\n`) ? s : s, 'a'),
    ],
    ['drips headers', { error: 'timeout' }, (s) => drip(s.write(ok) ? s : s, 'x: y\r\n')],
    [
      'sends endless headers',
      { error: 'protocol' },
      (s) => s.write(`${ok}${'x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(5000)}`),
    ],
    ['sends a long status line', { status: 200 }, (s) => s.end(`HTTP/1.1 200 ${'O'.repeat(100_000)}\r\n\r\n`)],
    ['speaks another protocol', { error: 'protocol' }, (s) => s.end('220 smtp ready\r\n')],
    ['speaks HTTP/2 only', { error: 'protocol' }, (s) => s.end(Buffer.from('000000040000000000', 'hex'))],
    ['closes without an answer', { error: 'reset' }, (s) => s.end()],
    ['resets', { error: 'reset' }, (s) => s.resetAndDestroy()],
    [
      'resets inside the body',
      { error: 'body', status: 200 },
      (s) => s.write(`${ok}content-length: 10\r\n\r\nabc`, () => setTimeout(() => s.resetAndDestroy(), 50)),
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
  ])('%s', async (_, expected, speak) => {
    const { url, sockets } = await startRaw(speak)
    const attempt = await post(url)
    expect(attempt).toMatchObject(expected)
    expect(attempt.error === undefined || attempt.detail).toBeTruthy()
    expect(attempt.latencyMs).toBeLessThan(1500)
    for (const close of closers.splice(-1)) await close()
    await expect.poll(() => sockets.size).toBe(0)
  })

  it('reads no more than it must of an endless body, and unpacks none', async () => {
    const bomb = gzipSync(Buffer.alloc(50_000_000))
    let sent = 0
    const { url } = await startRaw((socket) => {
      socket.write(`${ok}content-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n`)
      const chunk = `${(16_384).toString(16)}\r\n${'a'.repeat(16_384)}\r\n`
      const more = () => {
        while (!socket.destroyed && socket.write(chunk)) sent += chunk.length
      }
      socket.on('drain', more)
      more()
    })
    expect(bomb.length).toBeLessThan(100_000)
    const attempt = await post(url, { deadline: 5000 })
    expect(attempt).toMatchObject({ status: 200 })
    expect(attempt.error).toBeUndefined()
    expect(attempt.response).toHaveLength(1024)
    expect(sent).toBeLessThan(20_000_000)
  })

  it('names what failed before there was a connection', async () => {
    const failing = (code: string) => async () => {
      throw Object.assign(new Error(code), { code })
    }
    expect(await post('http://nowhere.example/', { resolve: failing('ENOTFOUND') })).toMatchObject({ error: 'dns' })
    expect(await post('http://nowhere.example/', { resolve: failing('EAI_AGAIN') })).toMatchObject({ error: 'dns' })
    expect(await post('http://127.0.0.1:1/')).toMatchObject({ error: 'connect' })
    const never = () => new Promise<never>(() => undefined)
    expect(await post('http://slow.example/', { resolve: never })).toMatchObject({ error: 'timeout' })
    const { url } = await startRaw((socket) => socket.end('not TLS'))
    expect(await post(url.replace('http:', 'https:'))).toMatchObject({ error: 'tls' })
  })

  it('sends nothing to a server whose certificate nobody vouches for', async () => {
    const requests: unknown[] = []
    const server = createTlsServer(selfSigned, (request, response) => {
      requests.push(request.url)
      response.end()
    })
    const url = await listen(server, 'https', new Set())
    expect(await post(url, { deadline: 2000 })).toMatchObject({ error: 'tls' })
    expect(requests).toEqual([])
    const trusted = await post(url.replace('127.0.0.1', 'hook.test'), { deadline: 2000, tls: { ca: selfSigned.cert } })
    expect(trusted).toMatchObject({ status: 200 })
    server.closeAllConnections()
  })

  it('keeps connections for the next requests', async () => {
    const ports = new Set<number | undefined>()
    const receiver = await startReceiver((response, _, request) => {
      ports.add(request.socket.remotePort)
      response.end()
    })
    closers.push(() => receiver.close())
    const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
    const sender = createSender({ policy, resolve, deadline: 1000, now: Date.now })
    for (let n = 0; n < 20; n++) {
      await sender.send({ ...placeOf(receiver.url), headers: {}, body: '{}' })
    }
    await sender.close()
    // A request that follows at once may find the first connection not yet at rest.
    expect(ports.size).toBeLessThanOrEqual(2)
  })
})
