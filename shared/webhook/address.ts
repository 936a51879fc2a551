import ipaddr from 'ipaddr.js'
import { invalid } from '../errors.ts'

type Address = ReturnType<typeof ipaddr.parse>

/** Where webhooks may go. */
export interface AddressPolicy {
  /** True for a public unicast address, and for one that configuration names. `address` is an IP address as text. */
  allows(address: string): boolean
  /**
   * Checks an endpoint's URL as far as that goes without resolving its name.
   * @returns the URL, normalized.
   * @throws RelayError `invalid`, naming `field`.
   */
  checkUrl(text: string, field?: string): URL
}

export interface AddressPolicyOptions {
  /** Networks that are allowed although they are not public, such as `10.1.0.0/16`. */
  allowCidrs: readonly string[]
  /** Whether `http:` is allowed beside `https:`. */
  allowHttp: boolean
}

/** All IPv6 addresses that are assigned for global unicast; what ipaddr.js knows no special use for outside of it is merely unassigned. */
const globalUnicast = ipaddr.parseCIDR('2000::/3')

/** Public by its number, but the host's own control plane on Azure. */
const wireServer = '168.63.129.16'

const maxLength = 2048

/**
 * Creates the guard against requests into private networks.
 * @throws Error for a network that is not written as one.
 */
export function createAddressPolicy({ allowCidrs, allowHttp }: AddressPolicyOptions): AddressPolicy {
  const networks = allowCidrs.map((cidr) => ipaddr.parseCIDR(cidr))

  const allows = (text: string) => {
    // Anything looser, such as 010.0.0.1, is read differently by different programs.
    const isExact = text.includes(':') ? ipaddr.IPv6.isValid(text) : ipaddr.IPv4.isValidFourPartDecimal(text)
    if (!isExact) return false
    const address = ipaddr.process(text)
    return isPublic(address) || networks.some(([network, bits]) => isInside(address, network, bits))
  }

  return {
    allows,
    checkUrl(text, field = 'url') {
      if (text.length > maxLength) throw invalid(field, `at most ${maxLength} characters`)
      const url = URL.canParse(text) ? new URL(text) : undefined
      if (url === undefined) throw invalid(field, 'not an absolute URL; write https://host/path')
      if (url.protocol !== 'https:' && !(url.protocol === 'http:' && allowHttp)) {
        throw invalid(field, allowHttp ? 'must be https or http' : 'must be https')
      }
      if (url.username !== '' || url.password !== '') throw invalid(field, 'must not hold a user name or password')
      if (!isPortAllowed(url.port)) throw invalid(field, 'the port must be 443, 80 or above 1023')
      url.hash = ''
      const literal = literalOf(url.hostname)
      if (literal !== undefined && !allows(literal)) {
        throw invalid(field, `${url.hostname} is not a public address, and WEBHOOK_ALLOW_CIDRS does not name it`)
      }
      return url
    },
  }
}

/** The address that a URL's host, normalized by the URL parser, is or is sure to resolve to; undefined for a name. */
export function literalOf(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  if (ipaddr.isValid(bare)) return bare
  // RFC 6761: these names are the loopback interface, whatever a resolver says.
  return /(^|\.)localhost\.?$/.test(bare) ? '127.0.0.1' : undefined
}

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast' || address.toString() === wireServer) return false
  return address.kind() === 'ipv4' || isInside(address, ...globalUnicast)
}

function isInside(address: Address, network: Address, bits: number): boolean {
  return address.kind() === network.kind() && address.match(network, bits)
}

function isPortAllowed(port: string): boolean {
  return port === '' || port === '80' || port === '443' || Number(port) > 1023
}
