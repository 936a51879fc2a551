import type { Logger } from '../../shared/role.ts'

/**
 * Tells the log once when something can no longer be asked, and once when it can again. Callers are told nothing of why.
 * @param texts for the log: that it fails, and that it works again.
 * @param hint what to do about an error, if that is known.
 * @returns to be called after each question: with an error, or without.
 */
export function createOutageReport(
  log: Pick<Logger, 'warn' | 'info'> | undefined,
  texts: { readonly fails: string; readonly works: string },
  hint: (error: unknown) => string = () => '',
): (error?: unknown) => void {
  let isFailing = false
  return (error) => {
    if (error === undefined && isFailing) log?.info({}, texts.works)
    if (error !== undefined && !isFailing) log?.warn({ reason: explain(error) }, texts.fails + hint(error))
    isFailing = error !== undefined
  }
}

/** The message of an error with a code may hold all of an answer's body. */
function explain(error: unknown): string {
  const { code, message, cause } = error as { code?: unknown; message?: unknown; cause?: { code?: unknown } }
  return typeof code === 'number' ? `HTTP ${code}` : String(cause?.code ?? message)
}
