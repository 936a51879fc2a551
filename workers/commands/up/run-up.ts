import { startUp, type UpOptions } from './up.ts'

/**
 * npm passes on the Ctrl-C that the terminal has already sent to the whole group, so that one comes twice. What comes
 * within this time of the first is the same one, in ms.
 */
const sameKeystroke = 500

/**
 * Runs everything until it is told to end, then lets it drain. A second Ctrl-C forces the end.
 *
 * @returns the exit code. Rejects where it could not start; what had started by then is stopped.
 */
export async function runUp(options: UpOptions): Promise<number> {
  const relay = startUp(options)
  const ending = Promise.withResolvers<string>()
  let since: number | undefined
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      since ??= performance.now()
      ending.resolve(signal)
      if (signal !== 'SIGINT' || performance.now() - since < sameKeystroke) return
      options.log.warn({}, 'forced to end')
      relay.kill()
      process.exit(130)
    })
  }
  const failed = relay.ready.then(() => new Promise<never>(() => undefined))
  try {
    const reason = await Promise.race([ending.promise, failed])
    options.log.info({ reason }, 'draining; once more to force')
  } finally {
    await relay.stop()
  }
  options.log.info({}, 'ended')
  return 0
}
