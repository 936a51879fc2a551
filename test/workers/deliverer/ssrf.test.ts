import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AddressPolicy, createAddressPolicy, literalOf } from '../../../shared/webhook/address.ts'
import type { Attempt } from '../../../shared/webhook/delivery.ts'
import type { Resolve } from '../../../workers/deliverer/connect.ts'
import { createSender } from '../../../workers/deliverer/send.ts'
import { hostileTargets } from '../../shared/webhook/hostile-hosts.ts'
import { type EgressProxy, startProxy } from './proxy.ts'
import { placeOf, type Receiver, startReceiver } from './receiver.ts'

const strict = createAddressPolicy({ allowCidrs: [], allowHttp: true })
const total = hostileTargets.length
const home = '127.0.0.1'

let inside: Receiver
let proxy: EgressProxy
/** Where each socket that this process opened is connected to, as the socket itself says. */
let connected: string[]
const listen = (message: unknown) => {
  const { socket } = message as { socket: Socket }
  socket.once('connect', () => connected.push(`${socket.remoteAddress}:${socket.remotePort}`))
}

beforeEach(async () => {
  connected = []
  inside = await startReceiver((response) => response.writeHead(200, { connection: 'close' }).end('inside'))
  proxy = await startProxy()
  subscribe('net.client.socket', listen)
})
afterEach(async () => {
  unsubscribe('net.client.socket', listen)
  await proxy.close()
  await inside.close()
})

const ways = ['directly', 'through a proxy'] as const
type Way = (typeof ways)[number]

const portOf = (url: string) => new URL(url).port
const addressOf = (host: string) => literalOf(new URL(`http://${host}/`).hostname) ?? 'none'
const bareOf = (host: string) => host.replace(/^\[|\]$/g, '')
const answer = (address: string) => ({ address, family: address.includes(':') ? 6 : 4 })

async function attempt(way: Way, url: string, resolve: Resolve, policy: AddressPolicy, times = 1): Promise<Attempt[]> {
  const through = way === 'directly' ? {} : { proxy: new URL(proxy.url) }
  const sender = createSender({ policy, resolve, deadline: 5000, now: Date.now, ...through })
  const attempts: Attempt[] = []
  try {
    for (let n = 0; n < times; n++) {
      attempts.push((await sender.send({ ...placeOf(url), headers: {}, body: '{}' })).attempt)
    }
    return attempts
  } finally {
    await sender.close()
  }
}

/** How many attempts ended in which way. */
function tally(attempts: readonly Attempt[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { error = 'taken' } of attempts) counts[error] = (counts[error] ?? 0) + 1
  return counts
}

describe.each(ways)('%s, no hostile target is connected to', (way) => {
  it('as a literal in the URL', async () => {
    const attempts: Attempt[] = []
    for (const host of hostileTargets) {
      const url = `http://${host}:${portOf(inside.url)}/`
      attempts.push(...(await attempt(way, url, async () => [answer(home)], strict)))
    }
    expect(tally(attempts)).toEqual({ 'refused-address': total })
    expect([connected, proxy.asked, inside.received]).toEqual([[], [], []])
  })

  it.each([
    ['the address that it stands for', addressOf],
    ['the text itself', bareOf],
  ])('as what a name resolves to, be it %s', async (_, toAddress) => {
    const url = `http://named.example:${portOf(inside.url)}/`
    const attempts: Attempt[] = []
    for (const host of hostileTargets) {
      attempts.push(...(await attempt(way, url, async () => [answer(toAddress(host))], strict)))
    }
    expect(tally(attempts)).toEqual({ 'refused-address': total })
    expect([connected, proxy.asked, inside.received]).toEqual([[], [], []])
  })

  it('as what a name resolves to the second time', async () => {
    const url = `http://rebind.example:${portOf(inside.url)}/`
    const attempts: Attempt[] = []
    for (const host of hostileTargets) {
      let asked = 0
      const resolve = async () => [answer(asked++ === 0 ? home : addressOf(host))]
      // This machine stands for a public address, for as long as the name says so.
      const policy = { ...strict, allows: (text: string) => (asked === 1 && text === home) || strict.allows(text) }
      attempts.push(...(await attempt(way, url, resolve, policy, 2)))
    }
    expect(tally(attempts)).toEqual({ taken: total, 'refused-address': total })
    const place = `${home}:${portOf(inside.url)}`
    const [opened, asked] =
      way === 'directly' ? [place, []] : [`${home}:${portOf(proxy.url)}`, Array(total).fill(place)]
    expect(connected.filter((each) => each !== place || way === 'directly')).toEqual(Array(total).fill(opened))
    expect([proxy.asked, inside.received.length]).toEqual([asked, total])
  })

  it('as what an answer redirects to', async () => {
    let [location, count] = ['', 0]
    const statuses = [301, 302, 303, 307, 308]
    const outside = await startReceiver((response) => {
      response.writeHead(statuses[count++ % statuses.length] ?? 302, { location, connection: 'close' }).end()
    })
    const policy = createAddressPolicy({ allowCidrs: [`${home}/32`], allowHttp: true })
    const attempts: Attempt[] = []
    for (const host of hostileTargets) {
      // Header values are Latin-1 on the wire.
      location = Buffer.from(`http://${host}:${portOf(inside.url)}/`).toString('latin1')
      attempts.push(...(await attempt(way, outside.url, async () => [answer(home)], policy)))
    }
    await outside.close()
    expect(tally(attempts)).toEqual({ redirect: total })
    expect([outside.received.length, inside.received.length]).toEqual([total, 0])
    const places = new Set([
      `${home}:${portOf(outside.url)}`,
      ...(way === 'directly' ? [] : [`${home}:${portOf(proxy.url)}`]),
    ])
    expect(new Set(connected)).toEqual(places)
  })
})

it('is refused at registration as well', () => {
  const refused = hostileTargets.filter((host) => {
    try {
      strict.checkUrl(`http://${host}/`)
      return false
    } catch (error) {
      return error instanceof Error && error.message.startsWith('url: ')
    }
  })
  expect(refused).toEqual(hostileTargets)
})
