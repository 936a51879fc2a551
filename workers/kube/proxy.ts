import { BlockList, isIP } from 'node:net'
import { invalid } from '../../shared/errors.ts'

/** The ways out that the environment names, as other programs take them: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`. */
export interface ProxySettings {
  https?: string | undefined
  http?: string | undefined
  /** Where no proxy is used: hosts with their subdomains, `.domains`, addresses, networks, each perhaps with a port; or `*`. */
  none?: string | undefined
}

/** Reads them; in lower case they mean the same. */
export function readProxySettings(env: Readonly<Record<string, string | undefined>>): ProxySettings {
  return {
    https: env.HTTPS_PROXY || env.https_proxy,
    http: env.HTTP_PROXY || env.http_proxy,
    none: env.NO_PROXY || env.no_proxy,
  }
}

/**
 * Finds the proxy for a server, by kubectl's rules: this machine itself never has one.
 * @see https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config
 * @throws RelayError `invalid` for a proxy whose address is no URL.
 */
export function findProxy(server: string, settings: ProxySettings): string | undefined {
  const url = URL.parse(server)
  if (url === null) return undefined
  const [name, proxy] = url.protocol === 'https:' ? ['HTTPS_PROXY', settings.https] : ['HTTP_PROXY', settings.http]
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  if (!proxy || isThisMachine(host) || isExcepted(host, port, settings.none ?? '')) return undefined
  const address = proxy.includes('://') ? proxy : `http://${proxy}`
  // It may hold a password, so that it is not repeated.
  if (!URL.canParse(address)) throw invalid(name ?? '', 'is no URL; write http://proxy.example:3128')
  return address
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || isWithin(host, '127.0.0.0/8') || isWithin(host, '::1/128')
}

function isExcepted(host: string, port: string, list: string): boolean {
  return list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== '' && matches(host, port, entry))
}

function matches(host: string, port: string, entry: string): boolean {
  if (entry === '*') return true
  if (entry.includes('/')) return isWithin(host, entry)
  const [, bracketed, plain, wanted] = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [
    undefined,
    undefined,
    entry,
  ]
  if (wanted !== undefined && wanted !== port) return false
  const name = (bracketed ?? plain ?? '').replace(/^\*\./, '.')
  if (isIP(name) !== 0) return isWithin(host, `${name}/${isIP(name) === 4 ? 32 : 128}`)
  return name.startsWith('.') ? host.endsWith(name) : host === name || host.endsWith(`.${name}`)
}

/** Whether a host is an address of a network; a name is in none. */
function isWithin(host: string, network: string): boolean {
  const [address = '', length = ''] = network.split('/')
  const [family, own] = [isIP(address), isIP(host)]
  if (family === 0 || family !== own || !/^\d{1,3}$/.test(length) || Number(length) > (family === 4 ? 32 : 128))
    return false
  const type = family === 4 ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(address, Number(length), type)
  return list.check(host, type)
}
