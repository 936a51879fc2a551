import { createServer as createTlsServer } from 'node:https'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import { createSender, type SenderOptions } from '../../../workers/deliverer/send.ts'
import { selfSigned } from './certificate.ts'
import { type EgressProxy, startProxy } from './proxy.ts'
import { placeOf, type Receiver, startReceiver } from './receiver.ts'

const local = createAddressPolicy({ allowCidrs: ['127.0.0.1/32'], allowHttp: true })
let proxy: EgressProxy
let receiver: Receiver
const closers: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  proxy = await startProxy()
  receiver = await startReceiver()
})
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
  await proxy.close()
  await receiver.close()
})

const send = async (url: string, options: Partial<SenderOptions> = {}) => {
  const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
  const sender = createSender({
    policy: local,
    resolve,
    deadline: 5000,
    now: Date.now,
    proxy: new URL(proxy.url),
    ...options,
  })
  try {
    const request = { ...placeOf(url), headers: { 'x-a': 'b' }, body: '{}' }
    return [await sender.send(request), await sender.send(request)].map(({ attempt }) => attempt)
  } finally {
    await sender.close()
  }
}
const portOf = (url: string) => new URL(url).port

describe('a proxy', () => {
  it('is asked for the address that was checked, and sees no request', async () => {
    const url = receiver.url.replace('127.0.0.1', 'hook.example')
    const attempts = await send(url)
    expect(attempts.map(({ status }) => status)).toEqual([200, 200])
    expect(new Set(proxy.asked)).toEqual(new Set([`127.0.0.1:${portOf(url)}`]))
    expect(receiver.received[0]?.headers.host).toBe(`hook.example:${portOf(url)}`)
  })

  it('carries TLS whose certificate must be for the name', async () => {
    const server = createTlsServer(selfSigned, (_, response) => response.end('secret'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    closers.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : ''
    const tls = { ca: selfSigned.cert }
    const [taken] = await send(`https://hook.test:${port}/`, { tls })
    expect(taken).toMatchObject({ status: 200, response: 'secret' })
    const [refused] = await send(`https://other.test:${port}/`, { tls })
    expect(refused).toMatchObject({ error: 'tls' })
    expect(new Set(proxy.asked)).toEqual(new Set([`127.0.0.1:${port}`]))
  })

  it('is shown the user and the password of its URL, and nobody else is', async () => {
    await proxy.close()
    const seen: unknown[] = []
    proxy = await startProxy(({ headers }) => {
      seen.push(headers['proxy-authorization'])
      return 'HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n'
    })
    const [attempt] = await send(receiver.url, { proxy: new URL(proxy.url.replace('//', '//me:p%40ss@')) })
    expect(attempt).toMatchObject({ error: 'connect', detail: 'WEBHOOK_PROXY: the proxy answered 407' })
    expect(JSON.stringify(attempt)).not.toContain('ss@')
    expect(seen[0]).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
    expect(receiver.received).toEqual([])
  })

  it('that is not there, is silent or speaks something else ends in an attempt with an error', async () => {
    expect((await send(receiver.url, { proxy: new URL('http://127.0.0.1:1') }))[0]).toMatchObject({ error: 'connect' })
    await proxy.close()
    proxy = await startProxy(() => 'SSH-2.0-x\r\n')
    expect((await send(receiver.url))[0]).toMatchObject({ error: 'connect' })
    await proxy.close()
    proxy = await startProxy(() => '')
    expect((await send(receiver.url, { deadline: 300 }))[0]?.error).toMatch(/^(connect|timeout)$/)
  })

  it('tries the next address of a name where one cannot be reached', async () => {
    await proxy.close()
    proxy = await startProxy(({ url }) =>
      url?.startsWith('93.') === true ? 'HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n' : undefined,
    )
    const resolve = async () => [
      { address: '93.184.215.14', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]
    const [attempt] = await send(receiver.url.replace('127.0.0.1', 'hook.example'), { resolve })
    expect(attempt).toMatchObject({ status: 200 })
  })
})
