import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SetupError } from './setup-error.ts'

const oldest = 24
/** Names the process that reran this one. */
const launcherVariable = 'KUBE_WATCH_RELAY_LAUNCHER'
const lookMs = 500

/**
 * Runs this same command with the Node that the project brings along, if the one that runs now is too old.
 *
 * @returns the exit code of that run; undefined when this Node will do.
 * @throws SetupError when there is no other.
 */
export async function rerunWithNewerNode(version = process.versions.node): Promise<number | undefined> {
  if (Number.parseInt(version, 10) >= oldest) return undefined
  const program = fileURLToPath(new URL('../../node_modules/.bin/node', import.meta.url))
  if (!existsSync(program)) {
    throw new SetupError(
      `Node ${version} is too old: use Node ${oldest} or newer, or run npm ci, which brings one along.`,
    )
  }
  const child = spawn(program, process.argv.slice(1), {
    stdio: 'inherit',
    env: { ...process.env, [launcherVariable]: String(process.pid) },
  })
  // A terminal sends SIGINT to the whole group; the others come to this process alone.
  process.on('SIGINT', () => undefined)
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

/** Ends this process as SIGTERM does once the one that reran it with a newer Node is gone, however that ended. */
export function followLauncher(): void {
  const launcher = Number(process.env[launcherVariable])
  delete process.env[launcherVariable]
  if (!launcher) return
  const timer = setInterval(() => {
    if (process.ppid === launcher) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, lookMs)
  timer.unref()
}
