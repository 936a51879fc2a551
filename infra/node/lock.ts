import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface FolderLock {
  release(): void
}

/**
 * Takes a folder for this process alone, or answers with the id of the process that has it (0 if unknown).
 *
 * Node has no flock. SQLite's exclusive transaction is one: the kernel lets go of it however the process ends, so that
 * there is no stale lock to guess about.
 */
export async function lockFolder(folder: string): Promise<FolderLock | { heldBy: number }> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const holder = join(folder, 'lock.pid')
  const database = new DatabaseSync(join(folder, 'lock'), { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (!isBusy(error)) throw error
    return { heldBy: Number(await readFile(holder, 'utf8').catch(() => '0')) }
  }
  await writeFile(holder, String(process.pid))
  return { release: () => database.close() }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5
}
