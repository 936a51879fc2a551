import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'

/** An egress proxy on a loopback port, which notes what it is asked to connect to. */
export interface EgressProxy {
  url: string
  asked: string[]
  close(): Promise<void>
}

/** `answer` decides about a request; undefined: connect. */
export async function startProxy(
  answer: (request: IncomingMessage) => string | undefined = () => undefined,
): Promise<EgressProxy> {
  const asked: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((_, response) => response.writeHead(405).end())
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
  })
  server.on('connect', (request, client) => {
    asked.push(String(request.url))
    const refused = answer(request)
    if (refused !== undefined) {
      client.end(refused)
      return
    }
    const { hostname, port } = new URL(`http://${request.url}`)
    const upstream = connect(Number(port) || 80, hostname, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      client.pipe(upstream).pipe(client)
    })
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    asked,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
