import { join } from 'node:path'
import type { Logger } from '../../shared/role.ts'
import { SetupError } from '../node/setup-error.ts'
import { readDistribution, suggestInstall } from './distribution.ts'
import { canFetchPackages, chooseCache, findUnpackedProgram, unpackProgram } from './packages.ts'
import { findInstalledProgram, type ServerProgram } from './program.ts'

export interface FindOptions {
  /** The PATH variable. */
  readonly searchPath: string
  /** Folders for what we fetch, best first; the first writable one is used. */
  readonly caches: readonly string[]
  readonly log: Logger
}

/**
 * Finds a Redis or Valkey server: on PATH, in our cache folder, or else by fetching the distribution's package.
 *
 * @throws SetupError with the install command of this system.
 */
export async function findProgram({ searchPath, caches, log }: FindOptions): Promise<ServerProgram> {
  const installed = await findInstalledProgram(searchPath)
  if (installed !== undefined) return installed

  const distribution = await readDistribution(process.platform)
  for (const cache of caches) {
    const unpacked = await findUnpackedProgram(cache, distribution)
    if (unpacked !== undefined) return unpacked
  }

  let reason = ''
  if (await canFetchPackages()) {
    try {
      const cache = await chooseCache(caches)
      if (cache === undefined) throw new Error(`cannot write to ${caches.join(' or ')}`)
      return await unpackProgram({ cache, distribution, log })
    } catch (error) {
      reason = ` (fetching its package failed: ${error instanceof Error ? error.message.trim() : String(error)})`
    }
  }
  const line = suggestInstall(distribution) ?? 'install redis-server or valkey-server, 6.2 or newer'
  throw new SetupError(
    `No Redis server found on PATH${reason}.\nInstall one:  ${line}\nOr set REDIS_URL to one that runs.`,
  )
}

/** Where fetched programs go: the user's cache folder, else the data folder. */
export function listCaches(cacheHome: string | undefined, home: string | undefined, data: string): string[] {
  const base = cacheHome || (home && join(home, '.cache'))
  return [...(base ? [join(base, 'kube-watch-relay')] : []), join(data, 'cache')]
}
