import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { answerKey, createWebSocketLink, type WebSocketLink } from './websocket.ts'

type Serve = (link: WebSocketLink) => void

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
  const key = incoming.headers['sec-websocket-key']
  const isProper = incoming.headers['sec-websocket-version'] === '13' && typeof key === 'string'
  const request = toRequest(incoming)
  if (request === undefined || !isProper) {
    socket.end(
      'HTTP/1.1 400 Bad Request\r\nsec-websocket-version: 13\r\ncontent-length: 0\r\nconnection: close\r\n\r\n',
    )
    return
  }
  let accepted: Serve | undefined
  const response = await ask(request, (serve) => {
    accepted = serve
    return new Response(null)
  })
  if (accepted === undefined) {
    const body = await response.text()
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}\r\n`).join('')
    socket.end(
      `HTTP/1.1 ${response.status} Refused\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    )
    return
  }
  const accept = answerKey(key)
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  )
  accepted(createWebSocketLink(socket, head))
}

function toRequest({ url = '/', method = 'GET', headers }: IncomingMessage): Request | undefined {
  const address = `http://${headers.host ?? 'relay'}${url}`
  if (method !== 'GET' || !url.startsWith('/') || !URL.canParse(address)) return undefined
  const entries = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value] as [string, string]],
  )
  return new Request(address, { headers: entries })
}
