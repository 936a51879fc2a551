import { createServer as createTlsServer } from 'node:https'
import { afterEach, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import { createSender, type SenderOptions } from '../../../workers/deliverer/send.ts'
import { selfSigned } from './certificate.ts'
import { listenRaw, startRaw } from './raw.ts'
import { placeOf, startReceiver } from './receiver.ts'

const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

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

describe('a request', () => {
  it('names what failed before there was a connection', async () => {
    const failing = (code: string) => async () => {
      throw Object.assign(new Error(code), { code })
    }
    expect(await post('http://nowhere.example/', { resolve: failing('ENOTFOUND') })).toMatchObject({ error: 'dns' })
    expect(await post('http://nowhere.example/', { resolve: failing('EAI_AGAIN') })).toMatchObject({ error: 'dns' })
    expect(await post('http://127.0.0.1:1/')).toMatchObject({ error: 'connect' })
    const never = () => new Promise<never>(() => undefined)
    expect(await post('http://slow.example/', { resolve: never })).toMatchObject({ error: 'timeout' })
    const { url, close } = await startRaw((socket) => socket.end('not TLS'))
    closers.push(close)
    expect(await post(url.replace('http:', 'https:'))).toMatchObject({ error: 'tls' })
  })

  it('sends nothing to a server whose certificate nobody vouches for', async () => {
    const requests: unknown[] = []
    const server = createTlsServer(selfSigned, (request, response) => {
      requests.push(request.url)
      response.end()
    })
    const { url, close } = await listenRaw(server, 'https')
    closers.push(close)
    expect(await post(url, { deadline: 2000 })).toMatchObject({ error: 'tls' })
    expect(requests).toEqual([])
    const trusted = await post(url.replace('127.0.0.1', 'hook.test'), { deadline: 2000, tls: { ca: selfSigned.cert } })
    expect(trusted).toMatchObject({ status: 200 })
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
