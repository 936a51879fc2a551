// Subscribers that come back, in a process of their own: raw sockets that go on by Last-Event-ID, as an EventSource does, and
// look at the number of each event.
import { connect, type Socket } from 'node:net'
import { numberMark } from './feed.ts'

interface Client {
  socket?: Socket
  /** Behind the last whole message. */
  cursor: string
  /** The event that is due; -1 before the first. */
  due: number
  rest: Buffer
}

const mark = Buffer.from(numberMark)
const gap = Buffer.from('\n\n')
const idMark = Buffer.from('id: ')
/** How long a refused client waits, in ms: at least this, at most twice. */
const pause = 200

const clients: Client[] = []
const tally = { open: 0, returned: 0, told: 0, lost: 0, doubled: 0, refused: 0 }
let port = 0

function open(client: Client): void {
  client.rest = Buffer.alloc(0)
  let isOpen = false
  const resume = client.cursor === '' ? '' : `Last-Event-ID: ${client.cursor}\r\n`
  const socket = connect(port, '127.0.0.1', () => {
    // Version 1.0, so that no chunk header stands inside of what is looked for.
    socket.write(`GET /v1/events HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n${resume}\r\n`)
  })
  client.socket = socket
  socket.on('error', () => undefined)
  socket.on('close', () => {
    if (isOpen) tally.open--
    else tally.refused++
    // Whoever was told comes back at once: that is what makes it a storm.
    setTimeout(open, isOpen ? 0 : pause * (1 + Math.random()), client)
  })
  socket.on('data', (chunk: Buffer) => {
    if (!isOpen) {
      if (chunk.toString('latin1', 9, 12) !== '200') {
        socket.destroy()
        return
      }
      isOpen = true
      tally.open++
      tally.returned++
    }
    take(client, chunk)
  })
}

/** Counts whole messages alone: what breaks off in the middle of one was not told. */
function take(client: Client, chunk: Buffer): void {
  const bytes = client.rest.length === 0 ? chunk : Buffer.concat([client.rest, chunk])
  const end = bytes.lastIndexOf(gap) + gap.length
  if (end < gap.length) {
    client.rest = bytes
    return
  }
  const whole = bytes.subarray(0, end)
  for (let at = whole.indexOf(mark); at !== -1; at = whole.indexOf(mark, at + mark.length)) {
    note(client, Number.parseInt(whole.toString('latin1', at + mark.length, at + mark.length + 12), 10))
  }
  const id = whole.lastIndexOf(idMark)
  if (id !== -1) client.cursor = whole.toString('latin1', id + idMark.length, whole.indexOf(10, id))
  client.rest = Buffer.from(bytes.subarray(end))
}

function note(client: Client, number: number): void {
  if (client.due === -1) client.due = number
  if (number < client.due) tally.doubled++
  else {
    tally.lost += number - client.due
    tally.told++
    client.due = number + 1
  }
}

type Message = { type: 'open'; port: number; count: number } | { type: 'break' } | { type: 'read'; last: number }

process.on('message', (message: Message) => {
  if (message.type === 'open') {
    port = message.port
    for (let i = 0; i < message.count; i++) {
      const client: Client = { cursor: '', due: -1, rest: Buffer.alloc(0) }
      clients.push(client)
      // Not all at once yet: this is how they came, over the day.
      setTimeout(open, i / 5, client)
    }
  } else if (message.type === 'break') {
    for (const { socket } of clients) socket?.destroy()
  } else {
    const behind = clients.filter(({ due }) => due <= message.last).length
    process.send?.({ type: 'read', ...tally, behind })
  }
})
process.on('disconnect', () => process.exit(0))
