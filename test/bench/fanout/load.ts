// Subscribers in a process of their own: raw sockets, so that what is measured is the server and not its clients.
import { connect, type Socket } from 'node:net'
import { sentAtMark } from './feed.ts'

interface Order {
  port: number
  paths: string[]
  count: number
}

const mark = Buffer.from(sentAtMark)
/** The longest piece of a mark and its number that a chunk may end with. */
const tailLength = mark.length + 20
/** So many connections read when events were sent; the others only count them. */
const timed = 50

const sockets: Socket[] = []
let received = 0
let latencies: number[] = []

function subscribe(port: number, path: string, isTimed: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      // Version 1.0, so that no chunk header stands inside of what is looked for.
      socket.write(`GET ${path} HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n`)
    })
    // Before it is open that is a failure; afterwards, the relay may cut one that is stopped.
    socket.on('error', reject)
    socket.once('data', (first: Buffer) => {
      if (first.toString('latin1', 9, 12) !== '200') reject(new Error(first.toString()))
      resolve()
    })
    socket.on('data', isTimed ? createTimer() : createCounter())
    sockets.push(socket)
  })
}

/** Counts marks without copying what arrives: only where two chunks meet are a few bytes joined. */
function createCounter(): (chunk: Buffer) => void {
  const keep = mark.length - 1
  let tail: Buffer = Buffer.alloc(0)
  return (chunk) => {
    if (tail.length > 0) received += countMarks(Buffer.concat([tail, chunk.subarray(0, keep)]))
    received += countMarks(chunk)
    tail = chunk.length >= keep ? Buffer.from(chunk.subarray(-keep)) : Buffer.concat([tail, chunk]).subarray(-keep)
  }
}

function countMarks(bytes: Buffer): number {
  let count = 0
  for (let at = bytes.indexOf(mark); at !== -1; at = bytes.indexOf(mark, at + mark.length)) count++
  return count
}

/** Counts marks, and reads the time behind each. */
function createTimer(): (chunk: Buffer) => void {
  let tail: Buffer = Buffer.alloc(0)
  return (chunk) => {
    const now = performance.timeOrigin + performance.now()
    const text = Buffer.concat([tail, chunk])
    let at = text.indexOf(mark)
    let end = 0
    // A mark at the very end waits for its number.
    while (at !== -1 && at + tailLength <= text.length) {
      received++
      end = at + mark.length
      latencies.push(now - Number.parseFloat(text.toString('latin1', end, end + 16)))
      at = text.indexOf(mark, end)
    }
    tail = text.subarray(at === -1 ? Math.max(end, text.length - mark.length) : at)
  }
}

process.on('message', async (message: { type: string; order?: Order }) => {
  if (message.type === 'open' && message.order !== undefined) {
    const { port, paths, count } = message.order
    for (let i = 0; i < count; i += 100) {
      const some = Array.from({ length: Math.min(100, count - i) }, (_, j) => i + j)
      await Promise.all(some.map((n) => subscribe(port, paths[n % paths.length] ?? '', n < timed)))
    }
    process.send?.({ type: 'open' })
  } else if (message.type === 'close') {
    for (const socket of sockets.splice(0)) socket.destroy()
    process.send?.({ type: 'closed' })
  } else if (message.type === 'read') {
    process.send?.({ type: 'read', received, latencies })
    latencies = []
  }
})
process.on('disconnect', () => process.exit(0))
