import { createHmac } from 'node:crypto'
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { Agent } from 'undici'

// What one would write first: one job per delivery, its body inside, signed and posted, the outcome left to the queue.
const [kind = '', redisUrl = '', secret = ''] = process.argv.slice(2)
const key = Buffer.from(secret, 'base64')
const agent = new Agent({ connections: 20, pipelining: 1 })

interface Delivery {
  url: string
  id: string
  body: string
}

const post = {
  async fetch({ url, body }: Delivery, headers: Record<string, string>) {
    const response = await fetch(url, { method: 'POST', headers, body })
    await response.arrayBuffer()
    return response.status
  },
  async undici({ url, body }: Delivery, headers: Record<string, string>) {
    const { origin, pathname: path } = new URL(url)
    const { statusCode, body: answer } = await agent.request({ origin, path, method: 'POST', headers, body })
    await answer.dump()
    return statusCode
  },
}[kind]
if (post === undefined) throw new Error(`no loop ${kind}`)

new Worker<Delivery>(
  'reference',
  async ({ data }) => {
    const timestamp = String(Math.floor(Date.now() / 1000))
    const signature = createHmac('sha256', key).update(`${data.id}.${timestamp}.${data.body}`).digest('base64')
    const status = await post(data, {
      'content-type': 'application/cloudevents+json',
      'webhook-id': data.id,
      'webhook-timestamp': timestamp,
      'webhook-signature': `v1,${signature}`,
    })
    if (status >= 300) throw new Error(`answered ${status}`)
    return status
  },
  { connection: new Redis(redisUrl, { maxRetriesPerRequest: null }), concurrency: 128 },
).on('error', () => undefined)
process.on('disconnect', () => process.exit())
process.send?.({ type: 'ready' })
