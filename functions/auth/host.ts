import type { MiddlewareHandler } from 'hono'
import { RelayError } from '../../shared/errors.ts'

/**
 * Refuses requests that were sent to another name than one of this machine, where nobody is asked who they are. A page that
 * anybody wrote may have its own name point to this machine: to a browser the relay is then a part of that page, and it
 * would hand all of it over. Only the `Host` tells.
 * @param origins those whose hosts the relay is reached by as well, through a proxy of this machine.
 */
export function requireOwnHost(origins: readonly string[]): MiddlewareHandler {
  const hosts = new Set(origins.map((origin) => new URL(origin).host))
  return async (c, next) => {
    const host = c.req.header('host')
    if (host !== undefined && !hosts.has(host) && !isThisMachine(host)) {
      const message = `Host: ${JSON.stringify(host)} is no name of this machine; see RELAY_CORS_ORIGINS, or set RELAY_AUTH.`
      throw new RelayError('forbidden', message, { field: 'Host' })
    }
    await next()
  }
}

function isThisMachine(host: string): boolean {
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
  return /^(?:(?:.+\.)?localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(name)
}
