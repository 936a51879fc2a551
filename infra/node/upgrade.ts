import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { answerKey, createWebSocketLink, type WebSocketLink } from './websocket.ts'

/** How long a client may take to read why it was refused, in ms. */
const patience = 5_000

type Serve = (link: WebSocketLink) => void

/**
 * Whether a request is to be upgraded. Others that offer to, such as those of clients that would rather speak HTTP/2, are
 * answered as if they had not: RFC 9110, section 7.8.
 */
export function shouldUpgrade({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

/**
 * Answers a request to become a WebSocket: asks the app as for any other, and either hands the link over or sends its refusal.
 * @param ask the app; calls `upgrade` to accept.
 */
export async function answerUpgrade(
  incoming: IncomingMessage,
  socket: Duplex,
  head: Uint8Array,
  ask: (request: Request, upgrade: (serve: Serve) => Response) => Response | Promise<Response>,
): Promise<void> {
  socket.on('error', () => socket.destroy())
  if (incoming.headers['sec-websocket-version'] !== '13') {
    await refuse(socket, explain(426, 'Only version 13 of the WebSocket protocol is spoken here.'))
    return
  }
  const key = incoming.headers['sec-websocket-key']
  const request = toRequest(incoming)
  if (request === undefined || key === undefined) {
    await refuse(socket, explain(400, 'A WebSocket begins with GET, and with a Sec-WebSocket-Key.'))
    return
  }
  let accepted: Serve | undefined
  const response = await ask(request, (serve) => {
    accepted = serve
    return new Response(null)
  })
  if (accepted === undefined) {
    await refuse(socket, response)
    return
  }
  const accept = answerKey(key)
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  accepted(createWebSocketLink(socket, head))
}

function explain(status: number, detail: string): Response {
  const body = { type: 'about:blank', title: STATUS_CODES[status], status, detail }
  const headers = { 'content-type': 'application/problem+json', 'sec-websocket-version': '13' }
  return new Response(JSON.stringify(body), { status, headers })
}

async function refuse(socket: Duplex, response: Response): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer())
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const title = STATUS_CODES[response.status] ?? ''
  const length = response.headers.has('content-length') ? '' : `content-length: ${body.length}\r\n`
  socket.write(`HTTP/1.1 ${response.status} ${title}\r\n${headers}${length}connection: close\r\n\r\n`)
  // The server no longer watches over a connection that was to be upgraded: nobody else would close it.
  const timer = setTimeout(() => socket.destroy(), patience)
  socket.once('close', () => clearTimeout(timer))
  socket.end(body, () => socket.destroy())
}

function toRequest({ url = '/', method = 'GET', headers }: IncomingMessage): Request | undefined {
  const address = `http://${headers.host ?? 'relay'}${url}`
  if (method !== 'GET' || !url.startsWith('/') || !URL.canParse(address)) return undefined
  const entries = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value] as [string, string]],
  )
  return new Request(address, { headers: entries })
}
