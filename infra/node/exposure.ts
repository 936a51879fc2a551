import type { Config } from '../../shared/config.ts'
import { SetupError } from './setup-error.ts'

/**
 * Refuses to let others than this machine read everything without being asked who they are.
 * @throws SetupError that says what to set.
 */
export function refuseExposure({ host, auth }: Pick<Config, 'host' | 'auth'>): void {
  if (auth !== 'none' || isLoopback(host)) return
  throw new SetupError(
    `HOST: ${host} can be reached from other machines, and RELAY_AUTH is none: everybody could read everything.\n` +
      'Set RELAY_AUTH=keys (then: relay keys create), jwt or kubernetes; or listen on 127.0.0.1.',
  )
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
