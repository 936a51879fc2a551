import { createServer } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import type { ResolvedAddress } from '../../../workers/deliverer/connect.ts'
import { createSender } from '../../../workers/deliverer/send.ts'
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
})
