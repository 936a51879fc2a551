import { connect } from 'cloudflare:sockets'
import { joinBytes } from '../../shared/bytes.ts'
import { createReplyReader, encodeCommand, ReplyError } from '../../shared/redis/reply.ts'
import type { Connection } from '../streams/tail.ts'

interface Waiting {
  resolve(reply: unknown): void
  reject(error: unknown): void
}

/**
 * Connects to a Redis server by the runtime's own sockets, once: what fails ends the connection, and whoever needs one opens
 * another. ioredis would do as well, and take an eighth of what a Worker may weigh.
 * @param url `redis://` or, for TLS, `rediss://`, with user, password and database where needed.
 * @param options.timeout how long an answer may take, in ms.
 */
export function openSocket(url: string, options: { name: string; timeout: number }): Connection {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  const socket = connect(
    { hostname: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || 6379 },
    { secureTransport: protocol === 'rediss:' ? 'on' : 'off', allowHalfOpen: false },
  )
  const writer = socket.writable.getWriter()
  const waiting: Waiting[] = []
  let unsent: Uint8Array[] = []
  let failure: Error | undefined

  const fail = (reason: unknown) => {
    if (failure !== undefined) return
    failure = reason instanceof Error ? reason : new Error('the connection failed', { cause: reason })
    for (const { reject } of waiting.splice(0)) reject(failure)
    // It is closed already, or will not close better for being asked again.
    socket.close().catch(() => undefined)
  }
  const read = createReplyReader((reply) => {
    const first = waiting.shift()
    if (reply instanceof ReplyError) first?.reject(reply)
    else first?.resolve(reply)
  })
  const receive = async () => {
    for await (const bytes of socket.readable as ReadableStream<Uint8Array>) read(bytes)
    throw new Error('Redis closed the connection')
  }
  const flush = () => {
    const pieces = unsent
    unsent = []
    writer.write(joinBytes(pieces)).catch(fail)
  }
  const call = (...words: (string | number)[]) => {
    if (failure !== undefined) return Promise.reject(failure)
    return new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(fail, options.timeout, new Error('Redis did not answer in time'))
      const settle =
        <Value>(how: (value: Value) => void) =>
        (value: Value) => {
          clearTimeout(timer)
          how(value)
        }
      waiting.push({ resolve: settle(resolve), reject: settle(reject) })
      if (unsent.length === 0) queueMicrotask(flush)
      unsent.push(encodeCommand(words))
    })
  }

  socket.opened.catch(fail)
  receive().catch(fail)
  const user = username === '' ? [] : [decodeURIComponent(username)]
  if (password !== '') call('AUTH', ...user, decodeURIComponent(password)).catch(fail)
  if (/^\/\d+$/.test(pathname)) call('SELECT', pathname.slice(1)).catch(fail)
  // Only a name for people; not every proxy knows it.
  call('CLIENT', 'SETNAME', options.name).catch(() => undefined)
  return { redis: { call }, close: () => fail(new Error('the connection was closed')) }
}
