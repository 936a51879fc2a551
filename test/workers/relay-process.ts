// The `relay` command as a process, for tests.
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'

const entry = fileURLToPath(new URL('../../workers/relay.ts', import.meta.url))

export interface RelayProcess {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** Lines of the log, parsed. */
  log(): Record<string, unknown>[]
  /** Process id of the newest child with this name. */
  pidOf(name: string): number
  readonly exited: Promise<{ code: number | null; signal: string | null }>
}

/**
 * Starts `relay` without any configuration of this machine: no cluster, no variables but these.
 * @param options.ownGroup lets a signal be sent to it and all that it started in its group.
 */
export function startRelay(
  args: readonly string[],
  env: Record<string, string> = {},
  options: { ownGroup?: boolean } = {},
): RelayProcess {
  const { PATH = '', XDG_CACHE_HOME = '' } = process.env
  const home = env.HOME ?? '/nonexistent'
  const child = spawn(process.execPath, [entry, ...args], {
    env: { PATH, XDG_CACHE_HOME, HOME: home, LOG_FORMAT: 'json', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: options.ownGroup === true,
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  )
  const log = () =>
    stderr
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line): Record<string, unknown> => JSON.parse(line))
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    log,
    pidOf: (name) => Number(log().findLast((line) => line.child === name)?.pid),
    exited,
  }
}

/** Runs `relay` to its end. */
export async function runRelay(args: readonly string[], env: Record<string, string> = {}) {
  const relay = startRelay(args, env)
  const closed = new Promise((resolve) => relay.child.once('close', resolve))
  const { code } = await relay.exited
  await closed
  return { code, stdout: relay.stdout(), stderr: relay.stderr() }
}

/** Waits for the summary that `relay up` prints; answers with the address of the API. */
export async function awaitSummary(relay: RelayProcess): Promise<string> {
  await vi.waitUntil(() => relay.stdout().includes('Ctrl-C') || relay.child.exitCode !== null, { timeout: 100_000 })
  const url = /^ +Page +(http:\S+)\/$/m.exec(relay.stdout())?.[1]
  if (url === undefined) throw new Error(`no summary:\n${relay.stdout()}\n${relay.stderr()}`)
  return url
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
