// A server to be measured, in a process of its own: the relay's functions, or one of those that it is compared to.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { streamSSE } from 'hono/streaming'
import { startServe } from '../../../functions/node.ts'
import type { Logger } from '../../../shared/role.ts'

type Push = (event: string) => void
const readers = new Set<Push>()

function tell(port: number): void {
  process.send?.({ type: 'listening', port })
}

async function startRelay(redisUrl: string, port: number, limits: object): Promise<void> {
  const ignore = () => undefined
  const log = { debug: ignore, info: ignore, warn: console.error, error: console.error } as unknown as Logger
  const config = {
    cluster: 'bench',
    host: '127.0.0.1',
    port,
    resources: 'pods',
    data: '.relay',
    redisUrl,
    webhookAllowCidrs: [],
    webhookAllowHttp: false,
    webhookSecretKey: 'k'.repeat(43),
  }
  const { about } = await startServe(config, log, {
    limits: { maxStreams: 20_000, rate: 100_000, ...limits },
  })
  tell(Number(new URL(about.url ?? '').port))
}

async function publish(body: AsyncIterable<Uint8Array>): Promise<void> {
  let text = ''
  for await (const chunk of body) text += Buffer.from(chunk).toString()
  for (const event of text.split('\n')) for (const push of readers) push(event)
}

/** As the framework's documentation shows it: one `writeSSE` per event and reader. */
function startHono(): void {
  const app = new Hono()
  app.post('/publish', async (c) => {
    await publish(c.req.raw.body ?? new ReadableStream())
    return c.body(null, 204)
  })
  app.get('/events', (c) =>
    streamSSE(c, async (stream) => {
      await stream.write(': open\n\n')
      let writing = Promise.resolve()
      const push: Push = (data) => {
        writing = writing.then(() => stream.writeSSE({ data }))
      }
      readers.add(push)
      await new Promise<void>((resolve) => stream.onAbort(resolve))
      readers.delete(push)
    }),
  )
  serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => tell(port))
}

/** Node's own server, one `write` per event and reader. */
function startBare(): void {
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method === 'POST') {
      await publish(request)
      response.writeHead(204).end()
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(': open\n\n')
    const push: Push = (event) => response.write(`data: ${event}\n\n`)
    readers.add(push)
    response.on('close', () => readers.delete(push))
  })
  server.listen(0, '127.0.0.1', () => tell((server.address() as AddressInfo).port))
}

process.on('message', (message: { type: string }) => {
  if (message.type !== 'memory') return
  globalThis.gc?.()
  process.send?.({ type: 'memory', bytes: process.memoryUsage.rss() })
})
process.on('disconnect', () => process.exit(0))

const [kind = '', redisUrl = '', port = '0', limits = '{}'] = process.argv.slice(2)
if (kind === 'relay') await startRelay(redisUrl, Number(port), JSON.parse(limits))
else if (kind === 'hono-streamsse') startHono()
else startBare()
