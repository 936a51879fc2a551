import type { Logger } from '../../shared/role.ts'

const levels = ['trace', 'debug', 'info', 'warn', 'error'] as const

/** Creates a logger that writes JSON lines to the console, which the platform collects. */
export function createConsoleLogger(least: string, bound: object = {}): Logger {
  const write = (level: (typeof levels)[number]) => (fields: object, message: string) => {
    if (levels.indexOf(level) < (levels as readonly string[]).indexOf(least)) return
    console.log(JSON.stringify({ level, msg: message, ...bound, ...fields }, writeError))
  }
  return {
    trace: write('trace'),
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => createConsoleLogger(least, { ...bound, ...fields }),
  }
}

/** An error has no enumerable fields of its own. */
function writeError(_: string, value: unknown): unknown {
  return value instanceof Error ? { type: value.name, message: value.message, cause: value.cause } : value
}
