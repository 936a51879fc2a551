import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SetupError } from './setup-error.ts'

const fileName = 'webhook-secret.key'
const shape = /^[A-Za-z0-9_-]{43}$/

/**
 * The key under which webhook secrets are encrypted: made on first use, then kept in a file that only this user reads.
 * Processes that start at the same time all get the same one, since the file appears with its whole content or not at all.
 * @param folder the data folder that all roles on this machine share.
 * @throws SetupError when the file holds something else: making a new key would make all stored secrets unreadable.
 */
export async function loadSecretKey(folder: string): Promise<string> {
  const file = join(folder, fileName)
  const key = (await read(file)) ?? (await create(folder, file))
  if (!shape.test(key)) {
    throw new SetupError(`${file} does not hold a key. Restore it, or remove it and every webhook with it.`)
  }
  return key
}

async function create(folder: string, file: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(`${randomBytes(32).toString('base64url')}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    // A link, unlike a rename, fails where the file exists: of several processes, one creates it and the others read it.
    await link(draft, file).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error
    })
  } finally {
    await rm(draft, { force: true })
  }
  return (await read(file)) ?? ''
}

async function read(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
