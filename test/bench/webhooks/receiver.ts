import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

// Receivers in a process of their own: argument one is how many answer at once, argument two how many never do.
const [live = 1, silent = 0] = process.argv.slice(2).map(Number)
const [ids, delays] = [new Set<string>(), [] as number[]]
let [count, firstAt, lastAt, wanted] = [0, 0, 0, 0]

const listen = (server: ReturnType<typeof createServer>) =>
  new Promise<number>((resolve) => {
    server.keepAliveTimeout = 60_000
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
const startLive = (n: number) =>
  listen(
    createServer((request, response) => {
      let body = ''
      request.setEncoding('latin1')
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        response.end()
        const id = `${n} ${request.headers['webhook-id']}`
        if (ids.has(id)) return
        ids.add(id)
        count++
        lastAt = performance.now()
        if (count === 1) firstAt = lastAt
        const time = /"time":"([^"]+)"/.exec(body)?.[1]
        if (time !== undefined) delays.push(Date.now() - Date.parse(time))
        if (count === wanted) process.send?.({ type: 'complete', count, ms: lastAt - firstAt, delays })
      })
    }),
  )

const ports = await Promise.all([
  ...Array.from({ length: live }, (_, n) => startLive(n)),
  ...Array.from({ length: silent }, () => listen(createServer(() => undefined))),
])
process.on('message', (message: { want: number }) => {
  ids.clear()
  delays.length = 0
  count = 0
  wanted = message.want
  process.send?.({ type: 'cleared' })
})
process.on('disconnect', () => process.exit())
process.send?.({ type: 'listening', ports })
