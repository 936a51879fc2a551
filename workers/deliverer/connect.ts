import { lookup as lookupName } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { buildConnector } from 'undici'
import { type AddressPolicy, literalOf } from '../../shared/webhook/address.ts'

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

/**
 * Connects only to addresses that the policy allows. It is asked three times: about a literal in the URL, which never
 * reaches a lookup; about each address that a name resolves to, at the moment of connecting, so that a name which
 * changes its answer gains nothing; and about the address that the socket is connected to in the end.
 * @param timeout ms until a connection, with TLS, must stand.
 */
export function createGuardedConnector(
  policy: AddressPolicy,
  resolve: Resolve,
  timeout: number,
  tls: { ca?: string } = {},
): buildConnector.connector {
  const lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const allowed = addresses.filter(({ address }) => policy.allows(address))
        const first = allowed[0]
        if (first === undefined) callback(refusal(hostname, addresses), '', 0)
        else if (options.all === true) callback(null, allowed)
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }
  // HTTP/1.1 only: one request per connection at a time is what the deadline and the byte limits are counted on.
  const connect = buildConnector({ ...tls, lookup, timeout, allowH2: false })

  return (options, callback) => {
    const literal = literalOf(options.hostname)
    if (literal !== undefined && !policy.allows(literal)) {
      callback(refusal(options.hostname, []), null)
      return
    }
    connect(options, (...[error, socket]) => {
      if (error !== null) {
        callback(error, null)
      } else if (socket.remoteAddress === undefined || !policy.allows(socket.remoteAddress)) {
        socket.destroy()
        callback(refusal(options.hostname, []), null)
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
