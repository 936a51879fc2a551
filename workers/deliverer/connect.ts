import { lookup as lookupName } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { type AddressPolicy, literalOf } from '../../shared/webhook/address.ts'
import { createTunnel, type OpenTunnel } from './tunnel.ts'

/** A connection was refused by the guard, not by the network. */
class RefusedAddressError extends Error {
  override readonly name = 'RefusedAddressError'
  readonly code = 'RELAY_REFUSED_ADDRESS'
}

export interface ResolvedAddress {
  address: string
  family: number
}

/** Resolves a name to all of its addresses. */
export type Resolve = (hostname: string) => Promise<ResolvedAddress[]>

export const resolveBySystem: Resolve = (hostname) =>
  new Promise((resolve, reject) => {
    lookupName(hostname, { all: true }, (error, addresses) => (error === null ? resolve(addresses) : reject(error)))
  })

export interface ConnectorOptions {
  policy: AddressPolicy
  resolve: Resolve
  /** ms until a connection, with TLS, must stand. */
  timeout: number
  tls?: { ca?: string } | undefined
  /** Through which everything goes. */
  proxy?: URL | undefined
}

/**
 * Connects only to addresses that the policy allows. It is asked three times: about a literal in the URL, which never
 * reaches a lookup; about each address that a name resolves to, at the moment of connecting, so that a name which
 * changes its answer gains nothing; and about the address that the socket is connected to in the end. A proxy is told to
 * connect to one of those addresses, whatever the name is.
 */
export function createGuardedConnector(options: ConnectorOptions): buildConnector.connector {
  const { policy, resolve, timeout, tls, proxy } = options
  const find = async (hostname: string): Promise<ResolvedAddress[]> => {
    const addresses = await resolve(hostname)
    const allowed = addresses.filter(({ address }) => policy.allows(address))
    if (allowed.length === 0) throw refusal(hostname, addresses)
    return allowed
  }
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    find(hostname).then(
      ([first = { address: '', family: 0 }, ...rest]) => {
        if (all === true) callback(null, [first, ...rest])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }
  // HTTP/1.1 only: one request per connection at a time is what the deadline and the byte limits are counted on.
  const connect = buildConnector({ ...tls, lookup, timeout, allowH2: false })
  const tunnel = proxy === undefined ? undefined : createTunnel(proxy, timeout)
  const connectThrough = async (open: OpenTunnel, hostname: string, port: number) => {
    const literal = literalOf(hostname)
    const addresses = literal === undefined ? await find(hostname) : [{ address: literal }]
    for (const [n, { address }] of addresses.entries()) {
      try {
        return await open(address, port)
      } catch (error) {
        if (n === addresses.length - 1) throw error
      }
    }
    throw refusal(hostname, [])
  }

  return (target, callback) => {
    const { hostname, protocol, port } = target
    const literal = literalOf(hostname)
    if (literal !== undefined && !policy.allows(literal)) {
      callback(refusal(hostname, []), null)
      return
    }
    if (tunnel !== undefined) {
      const isTls = protocol === 'https:'
      connectThrough(tunnel, hostname, Number(port) || (isTls ? 443 : 80)).then(
        (socket) => (isTls ? connect({ ...target, httpSocket: socket }, callback) : callback(null, socket)),
        (error: Error) => callback(error, null),
      )
      return
    }
    connect(target, (...[error, socket]) => {
      if (error !== null) {
        callback(error, null)
      } else if (socket.remoteAddress === undefined || !policy.allows(socket.remoteAddress)) {
        socket.destroy()
        callback(refusal(hostname, []), null)
      } else {
        callback(null, socket)
      }
    })
  }
}

function refusal(hostname: string, addresses: readonly ResolvedAddress[]): RefusedAddressError {
  const found = addresses.map(({ address }) => address).join(', ')
  return new RefusedAddressError(
    `${hostname}${found === '' ? '' : ` (${found})`} is not a public address, and WEBHOOK_ALLOW_CIDRS does not name it`,
  )
}
