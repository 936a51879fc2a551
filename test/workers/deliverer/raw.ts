import { createServer, type Server, type Socket } from 'node:net'

export interface RawServer {
  url: string
  /** Open connections. */
  sockets: Set<Socket>
  close(): Promise<void>
}

/** A server that speaks bytes: `speak` is called when a request has come, again for each that follows. */
export async function startRaw(speak: (socket: Socket, request: string) => void): Promise<RawServer> {
  return await listenRaw(
    createServer((socket) => socket.on('data', (chunk) => speak(socket, chunk.toString('latin1')))),
    'http',
  )
}

/** Has a server listen on a loopback port, and keeps count of its connections. */
export async function listenRaw(server: Server, scheme: string): Promise<RawServer> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    url: `${scheme}://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`,
    sockets,
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}
