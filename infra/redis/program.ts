import { execFile } from 'node:child_process'
import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A server program that was seen to run on this machine. */
export interface ServerProgram {
  readonly path: string
  /** Folders of the libraries that came with it; empty for an installed one. */
  readonly libraries: readonly string[]
  readonly version: string
  /** Where it comes from, for people: `redis-server 7.0.15 from PATH`. */
  readonly how: string
}

export const programNames = ['redis-server', 'valkey-server'] as const

/** The log needs XADD NOMKSTREAM, XTRIM MINID and XAUTOCLAIM. */
const oldest = [6, 2]

/** Looks for an installed server. `searchPath` is the PATH variable. */
export async function findInstalledProgram(searchPath: string): Promise<ServerProgram | undefined> {
  for (const name of programNames) {
    for (const folder of searchPath.split(delimiter).filter(Boolean)) {
      const program = await inspectProgram(join(folder, name), [], `${name} from PATH`)
      if (program !== undefined) return program
    }
  }
  return undefined
}

/** Runs a server program for its version; undefined if it is missing, does not run or is older than 6.2. */
export async function inspectProgram(
  path: string,
  libraries: readonly string[],
  origin: string,
): Promise<ServerProgram | undefined> {
  try {
    await access(path, constants.X_OK)
    const { stdout } = await run(path, ['--version'], { env: { LD_LIBRARY_PATH: libraries.join(delimiter) } })
    const version = /\bv=(\d+\.\d+\.\d+)/.exec(stdout)?.[1]
    if (version === undefined || isOlder(version)) return undefined
    return { path, libraries, version, how: origin.replace(/-server\b/, `-server ${version}`) }
  } catch {
    // Not there, or there but not runnable: either way it is no server for us, and the next candidate is tried.
    return undefined
  }
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = oldest
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
}
