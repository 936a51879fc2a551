import pino from 'pino'
import pretty from 'pino-pretty'
import type { Config } from '../../shared/config.ts'
import type { Logger } from '../../shared/role.ts'

export interface LoggerOptions {
  readonly level: Config['logLevel']
  readonly format: Config['logFormat']
  /** The process that writes, as a field of every line. */
  readonly role: string
  /** Whether stderr is a terminal, for the format `auto`. */
  readonly isTerminal: boolean
}

/** Logs to stderr: JSON lines, or lines for people. */
export function createLogger({ level, format, role, isTerminal }: LoggerOptions): Logger {
  const options = { level, base: { role }, timestamp: pino.stdTimeFunctions.isoTime }
  if (format === 'json' || (format === 'auto' && !isTerminal)) {
    const stderr = pino.destination({ dest: 2, sync: true })
    ignoreLostTerminal(stderr)
    return pino({ ...options, formatters: { level: (label) => ({ level: label }) } }, stderr)
  }
  const stderr = pretty({
    destination: 2,
    sync: true,
    colorize: isTerminal,
    translateTime: 'SYS:HH:MM:ss.l',
    messageFormat: '{role}: {msg}',
    ignore: 'role',
  })
  ignoreLostTerminal(stderr)
  return pino(options, stderr)
}

/** When the terminal is closed there is nobody left to tell, and the drain that follows must not end by an error of its log. */
export function ignoreLostTerminal(stream: {
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
}): void {
  stream.on('error', (error) => {
    if (error.code !== 'EIO' && error.code !== 'EPIPE') throw error
  })
}
