import type { Context } from 'hono'
import { RelayError } from '../../shared/errors.ts'

/**
 * Refuses what pages of other origins make a browser send. A cookie goes along with any request to its host, and a WebSocket
 * is opened by any page to anywhere; the browser says which page it is.
 * @param origins those beside the relay's own that may call.
 * @throws RelayError `forbidden`.
 */
export function requireOrigin(c: Context, origins: readonly string[]): void {
  const origin = c.req.header('origin')
  if (origin !== undefined && (origins.includes(origin) || isOwn(origin, c))) return
  const message =
    origin === undefined
      ? 'With a cookie, this takes an Origin header, as browsers send it; or send `Authorization: Bearer …`.'
      : `Pages of ${origin} may not call; see RELAY_CORS_ORIGINS.`
  throw new RelayError('forbidden', message, { field: 'Origin' })
}

function isOwn(origin: string, c: Context): boolean {
  return URL.canParse(origin) && new URL(origin).host === c.req.header('host')
}
