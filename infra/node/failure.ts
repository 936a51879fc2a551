import { ConfigError } from '../../shared/config.ts'
import { RelayError } from '../../shared/errors.ts'
import { SetupError } from './setup-error.ts'

/** Why a process cannot start, for the person who started it. Undefined for what is our own fault. */
export function explainFailure(error: unknown): string | undefined {
  const isTheirs =
    error instanceof SetupError ||
    error instanceof ConfigError ||
    (error instanceof RelayError && error.code === 'invalid')
  return isTheirs ? error.message : undefined
}
