import { writeFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

export interface FolderLock {
  /** Tells whoever wants the folder next that it will soon be free. */
  leave(): void
  release(): void
}

/** Who has a folder: a process id, 0 if unknown. */
export interface Holder {
  readonly heldBy: number
  /** It said that it is ending. */
  readonly isLeaving: boolean
}

/** What stands behind the process id of one that is ending. */
const leaving = ' leaving'
/** How long a process may take to say that it is ending, and then to end, in ms. */
const sayMs = 1_000
const leaveMs = 45_000
const askMs = 100

/**
 * Takes a folder for this process alone, or answers with who has it.
 *
 * Node has no flock. SQLite's exclusive transaction is one: the kernel lets go of it however the process ends, so that
 * there is no stale lock to guess about.
 */
export async function lockFolder(folder: string): Promise<FolderLock | Holder> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const holder = join(folder, 'lock.pid')
  const database = new DatabaseSync(join(folder, 'lock'), { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if (!isBusy(error)) throw error
    const note = await readFile(holder, 'utf8').catch(() => '')
    return { heldBy: Number.parseInt(note, 10) || 0, isLeaving: note.endsWith(leaving) }
  }
  await writeFile(holder, String(process.pid))
  return {
    leave: () => sayLeaving(holder),
    release: () => database.close(),
  }
}

/** A courtesy: where it cannot be written, as in a folder that was removed meanwhile, the next one is refused instead of kept waiting. */
function sayLeaving(holder: string): void {
  try {
    writeFileSync(holder, `${process.pid}${leaving}`)
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
  }
}

/**
 * Takes a folder as `lockFolder` does, and waits for a process that is ending: whoever starts again at once need not know
 * how long that takes.
 * @param onWait called once, when it is known that there is something to wait for.
 */
export async function awaitFolder(
  folder: string,
  signal: AbortSignal,
  onWait: (holder: Holder) => void,
): Promise<FolderLock | Holder> {
  const began = performance.now()
  let isWaiting = false
  for (;;) {
    const answer = await lockFolder(folder)
    if (!('heldBy' in answer)) return answer
    if (answer.isLeaving && !isWaiting) onWait(answer)
    isWaiting ||= answer.isLeaving
    if (performance.now() - began > (isWaiting ? leaveMs : sayMs)) return answer
    await sleep(askMs, undefined, { signal })
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5
}
