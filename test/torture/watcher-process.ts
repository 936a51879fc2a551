import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A `relay watch` in a process of its own, started again whenever it is killed. */
export interface WatcherProcess {
  readonly pid: number
  /** SIGKILL, and a new one in its place. */
  kill(): Promise<void>
  /** SIGKILL, and none in its place before `start`. */
  end(): Promise<void>
  start(): void
  /** SIGSTOP, and SIGCONT after so many ms, unless it was killed meanwhile. */
  freeze(ms: number): void
  /** How it ended by itself, which it never should. */
  readonly crashes: readonly string[]
}

const entry = fileURLToPath(new URL('../../workers/relay.ts', import.meta.url))

/** Starts one with these variables and nothing else of this machine. */
export function startWatcherProcess(env: Record<string, string>): WatcherProcess {
  const crashes: string[] = []
  let child: ChildProcess | undefined
  let isMeant = false

  function start(): void {
    isMeant = false
    const started = spawn(process.execPath, [entry, 'watch'], {
      env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', LOG_FORMAT: 'json', ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let tail = ''
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-4000)
    })
    started.once('exit', (code, signal) => {
      if (!isMeant) crashes.push(`exit ${code ?? signal}\n${tail}`)
    })
    child = started
  }

  async function end(): Promise<void> {
    const ended = child
    if (ended === undefined || ended.exitCode !== null || ended.signalCode !== null) return
    isMeant = true
    const exited = new Promise((resolve) => ended.once('exit', resolve))
    ended.kill('SIGKILL')
    await exited
  }

  // A torture that fails itself leaves nothing running.
  process.once('exit', () => child?.kill('SIGKILL'))
  start()
  return {
    get pid() {
      return child?.pid ?? 0
    },
    end,
    start,
    async kill() {
      await end()
      start()
    },
    freeze(ms) {
      const frozen = child
      frozen?.kill('SIGSTOP')
      setTimeout(() => frozen?.kill('SIGCONT'), ms)
    },
    crashes,
  }
}
