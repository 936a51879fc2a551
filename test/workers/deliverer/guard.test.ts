import { createServer } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RelayError } from '../../../shared/errors.ts'
import { createAddressPolicy, literalOf } from '../../../shared/webhook/address.ts'
import type { ResolvedAddress } from '../../../workers/deliverer/connect.ts'
import { createSender } from '../../../workers/deliverer/send.ts'
import { hostileTargets } from '../../shared/webhook/hostile-hosts.ts'
import { placeOf } from './receiver.ts'

const strict = createAddressPolicy({ allowCidrs: [], allowHttp: true })
let connections = 0
let port = 0
const server = createServer((_, response) => response.end('inside'))

beforeAll(async () => {
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  port = typeof address === 'object' ? (address?.port ?? 0) : 0
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})
beforeEach(() => {
  connections = 0
})

const post = async (url: string, answers: ResolvedAddress[][], policy = strict) => {
  let asked = 0
  const resolve = async () => answers[Math.min(asked++, answers.length - 1)] ?? []
  const sender = createSender({ policy, resolve, deadline: 2000, now: Date.now })
  try {
    const send = () => sender.send({ ...placeOf(url), headers: {}, body: '{}' })
    return [await send(), await send()].map(({ attempt }) => attempt)
  } finally {
    await sender.close()
  }
}
const to = (address: string): ResolvedAddress => ({ address, family: address.includes(':') ? 6 : 4 })

describe('the guard on real sockets', () => {
  it.each(hostileTargets)('does not connect to the literal %s', async (host) => {
    const url = `http://${host}:${port}/`
    // What the URL parser itself refuses never becomes a request.
    if (!URL.canParse(url)) return
    const attempts = await post(url, [[to('127.0.0.1')]])
    expect(attempts.map(({ error }) => error)).toEqual(['refused-address', 'refused-address'])
    expect(connections).toBe(0)
  })

  it.each([
    [[to('127.0.0.1')]],
    [[to('::1')]],
    [[to('::ffff:127.0.0.1')]],
    [[to('10.0.0.1'), to('127.0.0.1')]],
    [[to('169.254.169.254')]],
    [[to('fd00:ec2::254')]],
    [[]],
  ])('does not connect to a name that resolves to %j', async (addresses) => {
    const attempts = await post(`http://rebind.example:${port}/`, [addresses])
    expect(attempts.map(({ error }) => error)).toEqual(['refused-address', 'refused-address'])
    expect(connections).toBe(0)
  })

  it('asks again for each connection, so that a name which changes its answer gains nothing', async () => {
    const first = createAddressPolicy({ allowCidrs: ['127.0.0.1/32'], allowHttp: true })
    const sender = [[to('127.0.0.1')], [to('127.0.0.2')]]
    server.keepAliveTimeout = 1
    const close = (_: unknown, response: { setHeader(name: string, value: string): void }) =>
      response.setHeader('connection', 'close')
    server.prependListener('request', close)
    const attempts = await post(`http://rebind.example:${port}/`, sender, first)
    server.removeListener('request', close)
    expect(attempts.map(({ error }) => error)).toEqual([undefined, 'refused-address'])
    expect(connections).toBe(1)
  })

  it('takes no address of the corpus from a resolver, neither at first nor when the name changes its answer', async () => {
    const hosts = hostileTargets.filter((host) => URL.canParse(`http://${host}/`))
    const addresses = new Set(hosts.flatMap((host) => literalOf(new URL(`http://${host}/`).hostname) ?? []))
    expect(addresses.size).toBeGreaterThan(80)
    const first = createAddressPolicy({ allowCidrs: ['127.0.0.1/32'], allowHttp: true })
    const close = (_: unknown, response: { setHeader(name: string, value: string): void }) =>
      response.setHeader('connection', 'close')
    server.prependListener('request', close)
    for (const address of addresses) {
      const resolved = await post(`http://named.example:${port}/`, [[to(address)]])
      expect([address, ...resolved.map(({ error }) => error)]).toEqual([address, 'refused-address', 'refused-address'])
      if (first.allows(address)) continue
      const rebound = await post(`http://rebind.example:${port}/`, [[to('127.0.0.1')], [to(address)]], first)
      expect([address, ...rebound.map(({ error }) => error)]).toEqual([address, undefined, 'refused-address'])
    }
    server.removeListener('request', close)
  })

  it('goes to no address of the corpus that an answer points to', async () => {
    let target = ''
    let hits = 0
    const redirecting = createServer((_, response) => {
      hits++
      response.writeHead(hits % 2 ? 302 : 307, { location: target }).end()
    })
    await new Promise<void>((resolve) => redirecting.listen(0, '127.0.0.1', resolve))
    const address = redirecting.address()
    const from = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`
    const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
    for (const host of hostileTargets) {
      // Header values are Latin-1 on the wire.
      target = Buffer.from(`http://${host}:${port}/`).toString('latin1')
      const attempts = await post(from, [[to('127.0.0.1')]], policy)
      expect(attempts.map(({ error }) => error)).toEqual(['redirect', 'redirect'])
    }
    expect([hits, connections]).toEqual([hostileTargets.length * 2, 0])
    redirecting.closeAllConnections()
    await new Promise((resolve) => redirecting.close(resolve))
  })

  it('uses only the allowed ones of several addresses', async () => {
    const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
    const [attempt] = await post(`http://mixed.example:${port}/`, [[to('10.255.255.1'), to('127.0.0.1')]], policy)
    expect(attempt).toMatchObject({ status: 200, response: 'inside' })
  })

  it('looks at the address that the socket is connected to in the end', async () => {
    let asked = 0
    // Says yes while a name is resolved, and no afterwards.
    const fickle = { ...strict, allows: () => ++asked <= 1 }
    const resolve = async () => [to('127.0.0.1')]
    const sender = createSender({ policy: fickle, resolve, deadline: 2000, now: Date.now })
    const request = { ...placeOf(`http://fickle.example:${port}/`), headers: {}, body: '{}' }
    const { attempt } = await sender.send(request)
    await sender.close()
    expect(attempt.error).toBe('refused-address')
  })

  it('refuses at registration what it would refuse at delivery', () => {
    for (const host of hostileTargets) {
      const refuse = () => strict.checkUrl(`http://${host}/`)
      expect(refuse, host).toThrow(RelayError)
      expect(refuse, host).toThrow(/^url: /)
    }
  })
})
