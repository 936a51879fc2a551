import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { median, type Row } from '../bench.ts'
import { startRelay } from '../fanout/contenders.ts'
import { createEvent } from '../fanout/feed.ts'
import { startProgram } from '../webhooks/program.ts'
import { startOnWorkerd } from './workerd.ts'

const repetitions = 30

/** How long after a webhook was registered at the edge the workers have sent it the next event. */
export async function* measureRegistration(): AsyncGenerator<Row> {
  let redisUrl = ''
  const contender = await startRelay((url) => {
    redisUrl = url
    return startOnWorkerd(url)
  })
  const deliver = await startProgram('relay.ts', redisUrl, 'bench', 'k'.repeat(43))
  let tell: () => void = () => undefined
  const receiver = createServer((request, response) => {
    request.resume()
    response.end()
    tell()
  })
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve))
  const address = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const webhooks = `http://127.0.0.1:${contender.port}/v1/webhooks`
  const headers = { 'content-type': 'application/json' }
  const once = async (number: number) => {
    const created = await fetch(webhooks, { method: 'POST', headers, body: JSON.stringify({ url: address }) })
    const { id } = (await created.json()) as { id: string }
    const begin = performance.now()
    const arrived = new Promise<void>((resolve) => {
      tell = resolve
    })
    await contender.publish([createEvent(number)])
    await arrived
    const late = performance.now() - begin
    await fetch(`${webhooks}/${id}`, { method: 'DELETE' })
    return late
  }
  try {
    const late: number[] = []
    for (let i = 0; i < repetitions; i++) {
      late.push(await once(i))
      await setTimeout(Math.random() * 500)
    }
    yield { case: 'webhook, until sent the next event, p50', value: median(late), unit: 'ms', ratios: {} }
    yield {
      case: 'webhook, until sent the next event, most',
      value: Math.max(...late),
      unit: 'ms',
      ratios: {},
    }
  } finally {
    await deliver.stop()
    receiver.close()
    receiver.closeAllConnections()
    await contender.stop()
  }
}
