import type { Logger, Running } from '../../shared/role.ts'

/** What a role tells the supervisor that started it. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly about: Readonly<Record<string, string>>
}

/** How long a role may finish what is under way, in ms. */
export const drainPatience = 10_000

/**
 * Runs a role until it is told to end, and then lets it drain. Under a supervisor it is told by SIGTERM or by the
 * supervisor's disappearance, and leaves Ctrl-C to the supervisor.
 *
 * @returns the exit code. Rejects when the role does not start.
 */
export async function runRole(start: () => Promise<Running>, log: Logger): Promise<number> {
  const supervised = process.send !== undefined
  const ending = Promise.withResolvers<string>()
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => ending.resolve(signal))
  process.on('SIGINT', () => supervised || ending.resolve('SIGINT'))
  process.on('disconnect', () => ending.resolve('the supervisor is gone'))
  // It may have gone before anybody listened.
  if (supervised && !process.connected) ending.resolve('the supervisor is gone')

  const starting = start()
  const running = await Promise.race([starting, ending.promise.then(() => undefined)])
  if (running === undefined) {
    // Whatever is half started has taken nothing in yet.
    starting.catch(() => undefined)
    return 0
  }
  if (process.connected) process.send?.({ type: 'ready', about: running.about } satisfies ReadyMessage)

  const reason = await ending.promise
  log.info({ reason }, 'draining')
  process.on('SIGINT', () => supervised || process.exit(130))
  const deadline = setTimeout(() => {
    log.warn({ ms: drainPatience }, 'not drained in time')
    process.exit(1)
  }, drainPatience)
  await running.stop()
  clearTimeout(deadline)
  log.debug({}, 'drained')
  return 0
}

export function isReadyMessage(message: unknown): message is ReadyMessage {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'ready'
}
