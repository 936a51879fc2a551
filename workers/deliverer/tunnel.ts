import { request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import type { Socket } from 'node:net'

/** An egress proxy that did not open a tunnel. */
class ProxyError extends Error {
  override readonly name = 'ProxyError'
  readonly code = 'RELAY_PROXY'
}

/** Opens a way through an HTTP proxy to an address. */
export type OpenTunnel = (address: string, port: number) => Promise<Socket>

/**
 * Creates an opener of tunnels. The proxy is told addresses and never names: were it to resolve one itself, nobody would
 * have checked what it finds.
 * @param proxy `http://` or `https://`, perhaps with a user and a password.
 * @param timeout ms until a tunnel must stand.
 * @see https://www.rfc-editor.org/rfc/rfc9110#CONNECT
 */
export function createTunnel(proxy: URL, timeout: number): OpenTunnel {
  const request = proxy.protocol === 'https:' ? requestTls : requestPlain
  const login = [proxy.username, proxy.password].map(decodeURIComponent).join(':')
  const authorization = `Basic ${Buffer.from(login).toString('base64')}`
  return (address, port) =>
    new Promise((resolve, reject) => {
      const place = `${address.includes(':') ? `[${address}]` : address}:${port}`
      const connecting = request({
        method: 'CONNECT',
        hostname: proxy.hostname.replace(/^\[|\]$/g, ''),
        ...(proxy.port === '' ? {} : { port: proxy.port }),
        path: place,
        headers: { host: place, ...(login === ':' ? {} : { 'proxy-authorization': authorization }) },
        agent: false,
        signal: AbortSignal.timeout(timeout),
      })
      const fail = (why: string) => reject(new ProxyError(`WEBHOOK_PROXY: ${why}`))
      connecting.once('connect', ({ statusCode = 0 }, socket: Socket) => {
        if (statusCode >= 200 && statusCode < 300) return resolve(socket)
        socket.destroy()
        fail(`the proxy answered ${statusCode}`)
      })
      connecting.once('response', ({ statusCode }) => {
        connecting.destroy()
        fail(`the proxy answered ${statusCode}`)
      })
      connecting.once('error', (error: NodeJS.ErrnoException) => {
        fail(error.name === 'AbortError' || error.name === 'TimeoutError' ? 'no answer' : (error.code ?? error.message))
      })
      connecting.end()
    })
}
