import { createServer, type Server, type Socket } from 'node:net'

// Receivers in a process of their own: argument one is how many answer at once, argument two how many never do, argument
// three how many answer after ten seconds. They read just enough HTTP to be cheap: what is measured is the sender.
const [live = 1, silent = 0, slow = 0] = process.argv.slice(2).map(Number)
const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'
const [ids, delays] = [new Set<string>(), [] as number[]]
let [count, warmAt, wanted] = [0, 0, 0]
/** Figures count from here on: what a start costs once is not what a delivery costs. */
const warmUp = () => Math.floor(wanted / 4)

const listen = (server: Server) =>
  new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' ? (address?.port ?? 0) : 0)
    })
  })

function take(endpoint: number, head: string, body: string): void {
  const id = `${endpoint} ${/\r\nwebhook-id: (\S+)/i.exec(head)?.[1]}`
  if (ids.has(id)) return
  ids.add(id)
  count++
  const at = performance.now()
  if (count === warmUp()) {
    warmAt = at
    process.send?.({ type: 'warm' })
  }
  const time = /"time":"([^"]+)"/.exec(body)?.[1]
  if (time !== undefined) delays.push(Date.now() - Date.parse(time))
  if (count === wanted) process.send?.({ type: 'complete', count: count - warmUp(), ms: at - warmAt, delays })
}

/** Calls back for each request, and answers it when that says so. */
function serve(socket: Socket, onRequest: (head: string, body: string) => void): void {
  let text = ''
  socket.setNoDelay()
  socket.on('error', () => undefined)
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    for (;;) {
      const end = text.indexOf('\r\n\r\n')
      if (end === -1) return
      const head = text.slice(0, end)
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (text.length < end + 4 + length) return
      onRequest(head, text.slice(end + 4, end + 4 + length))
      text = text.slice(end + 4 + length)
    }
  })
}

const startLive = (endpoint: number) =>
  listen(
    createServer((socket) =>
      serve(socket, (head, body) => {
        socket.write(answer)
        take(endpoint, head, body)
      }),
    ),
  )
const startSlow = () =>
  listen(createServer((socket) => serve(socket, () => setTimeout(() => socket.write(answer), 10_000))))

const ports = await Promise.all([
  ...Array.from({ length: live }, (_, n) => startLive(n)),
  ...Array.from({ length: silent }, () => listen(createServer((socket) => socket.on('error', () => undefined)))),
  ...Array.from({ length: slow }, startSlow),
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
