import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { drainPatience } from '../../../infra/node/run-role.ts'
import { SetupError } from '../../../infra/node/setup-error.ts'
import type { Logger } from '../../../shared/role.ts'

export type About = Readonly<Record<string, string>>

export interface ChildOptions {
  readonly name: string
  /** Starts the process. Called again for each restart. */
  launch(): ChildProcess
  /** Resolves when the process says that it is ready. May stay open for ever when the process ends instead. */
  awaitReady(child: ChildProcess): Promise<About>
  /** Called each time it gets ready, before `ready` resolves. */
  onReady?(about: About): void
  readonly log: Logger
  /** Pause before the first restart, in ms; doubles up to `maxPause`. Default 200. */
  readonly minPause?: number
  /** Default 10 000 ms. */
  readonly maxPause?: number
}

/** A process that is kept running. */
export interface SupervisedChild {
  readonly name: string
  /** What it said when it was ready for the first time. Rejects with SetupError when it refused to start (exit code 2). */
  readonly ready: Promise<About>
  /** From now on it may end without being started again. */
  retire(): void
  /** Lets it drain, then ends it. */
  stop(): Promise<void>
  /** Ends it at once. */
  kill(): void
}

/** A child that ran this long had started well: the next restart comes quickly again. */
const goodRun = 30_000

/** Keeps one child process running: one that ends is started again, after a pause that grows. */
export function superviseChild(options: ChildOptions): SupervisedChild {
  const { name, log, minPause = 200, maxPause = 10_000 } = options
  const first = Promise.withResolvers<About>()
  // Whoever needs it awaits it; a failure that comes first must not end the process.
  first.promise.catch(() => undefined)
  const stopping = new AbortController()
  const { signal } = stopping
  let current: ChildProcess | undefined
  let wasReady = false
  let runs = 0

  const runOnce = async (): Promise<Ended> => {
    runs++
    const child = options.launch()
    log.debug({ child: name, pid: child.pid }, 'started a process')
    current = child
    const ended = awaitEnd(child)
    options.awaitReady(child).then((about) => {
      options.onReady?.(about)
      if (runs > 1) log.info({ pid: child.pid }, `${name} is up again`)
      wasReady = true
      first.resolve(about)
    }, first.reject)
    const end = await ended
    current = undefined
    return end
  }

  const loop = async () => {
    for (let pause = minPause; !signal.aborted; pause = Math.min(pause * 2, maxPause)) {
      const started = performance.now()
      const { code, reason } = await runOnce()
      if (signal.aborted) return
      if (code === 2 && !wasReady) {
        first.reject(new SetupError(`${name} refused to start.`))
        return
      }
      if (performance.now() - started > goodRun) pause = minPause
      log.error({ reason, pause }, `${name} ended; starting it again`)
      await sleep(pause, undefined, { signal }).catch(() => undefined)
    }
  }
  const finished = loop()

  return {
    name,
    ready: first.promise,
    retire: () => stopping.abort(),
    async stop() {
      stopping.abort()
      current?.kill('SIGTERM')
      // A little longer than its own deadline, so that it can say what it was waiting for.
      const force = setTimeout(() => {
        log.warn({}, `${name} does not end; killing it`)
        current?.kill('SIGKILL')
      }, drainPatience + 1_000)
      await finished
      clearTimeout(force)
    },
    kill() {
      stopping.abort()
      current?.kill('SIGKILL')
    },
  }
}

interface Ended {
  readonly code: number | null
  readonly reason: string
}

function awaitEnd(child: ChildProcess): Promise<Ended> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve({ code: null, reason: error.message }))
    child.once('exit', (code, signal) => resolve({ code, reason: signal ?? `exit code ${code}` }))
  })
}
