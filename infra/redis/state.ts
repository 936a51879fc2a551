import { randomBytes } from 'node:crypto'
import { mkdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Probe, probeServer } from './probe.ts'
import { serverUrl } from './server.ts'

/** What a private server leaves in its folder, so that a later process finds it. */
interface State {
  readonly port: number
  readonly how: string
}

/** A private server that answers on the port that its folder names. */
export interface FoundServer extends State {
  readonly url: string
  readonly probe: Probe
}

/** The folder of the private server that belongs to a data folder; absolute, since the server changes its directory. */
export function serverFolder(data: string): string {
  return resolve(data, 'redis')
}

export async function writeState(folder: string, state: State): Promise<void> {
  const draft = join(folder, 'state.json.new')
  await writeFile(draft, `${JSON.stringify(state)}\n`, { mode: 0o600 })
  await rename(draft, join(folder, 'state.json'))
}

export async function removeState(folder: string): Promise<void> {
  await rm(join(folder, 'state.json'), { force: true })
}

/** The password of this folder's server; made on first use, readable by its owner alone. */
export async function ensurePassword(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, 'password')
  const known = await readPassword(folder)
  if (known) return known
  const password = randomBytes(24).toString('hex')
  await writeFile(file, password, { mode: 0o600 })
  return password
}

/**
 * Looks for a server that runs on this folder. The probe's state is `stranger` when the port belongs to another server
 * by now, so that only `ready` and `loading` mean ours.
 */
export async function findServer(folder: string): Promise<FoundServer | undefined> {
  const text = await readFile(join(folder, 'state.json'), 'utf8').catch(() => undefined)
  const password = await readPassword(folder)
  if (text === undefined || password === undefined) return undefined
  const state: State = JSON.parse(text)
  const url = serverUrl({ port: state.port, password })
  const probe = await probeServer(url)
  const isOurs = !('folder' in probe) || probe.folder === (await realpath(folder))
  return { ...state, url, probe: isOurs ? probe : { state: 'stranger', reason: 'another data folder' } }
}

/** Process id from the server's own pidfile, if such a process is alive; 0 otherwise. */
export async function readLivingPid(folder: string): Promise<number> {
  const pid = Number(await readFile(join(folder, 'redis.pid'), 'utf8').catch(() => '0'))
  return pid > 0 && isAlive(pid) ? pid : 0
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

async function readPassword(folder: string): Promise<string | undefined> {
  return readFile(join(folder, 'password'), 'utf8').catch(() => undefined)
}
