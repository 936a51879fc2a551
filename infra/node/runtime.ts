import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { SetupError } from './setup-error.ts'

const oldest = 24

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
  const child = spawn(program, process.argv.slice(1), { stdio: 'inherit' })
  // A terminal sends SIGINT to the whole group; the others come to this process alone.
  process.on('SIGINT', () => undefined)
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
