import { spawn } from 'node:child_process'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Probe, probeServer } from './probe.ts'
import type { ServerProgram } from './program.ts'
import { renderSettings, type ServerSettings } from './settings.ts'

/** A Redis server process. */
export interface Server {
  readonly pid: number
  readonly version: string
  /** Resolves when the process has ended, with the reason. */
  readonly exited: Promise<string>
}

export interface LaunchOptions extends ServerSettings {
  readonly program: ServerProgram
  /** Its own process group: Ctrl-C on the terminal does not reach it, and it outlives this process. */
  readonly detached: boolean
  readonly extraArgs?: readonly string[]
}

/** The server could not have the port that it was given. */
export class PortTakenError extends Error {
  override readonly name = 'PortTakenError'
}

/** Address of a private server. It holds the password: never log it. */
export function serverUrl({ port, password }: { port: number; password: string }): string {
  return `redis://:${password}@127.0.0.1:${port}`
}

/** A loopback port that is free now. */
export async function findFreePort(): Promise<number> {
  const probe = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  probe.once('error', reject).listen(0, '127.0.0.1', resolve)
  await promise
  const address = probe.address()
  await new Promise((closed) => probe.close(closed))
  if (address === null || typeof address === 'string') throw new Error('a TCP listener has no port')
  return address.port
}

/**
 * Starts a server and waits until it has loaded its data and answers.
 *
 * @throws PortTakenError, or an error with the last lines of the server's log when it ends instead.
 */
export async function launchServer({ program, detached, extraArgs = [], ...settings }: LaunchOptions): Promise<Server> {
  const { folder } = settings
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const configuration = join(folder, 'redis.conf')
  const logFile = join(folder, 'redis.log')
  await writeFile(configuration, renderSettings(settings), { mode: 0o600 })
  await keepLogShort(logFile)
  const logStart = await sizeOf(logFile)

  const child = spawn(program.path, [configuration, ...extraArgs], {
    cwd: folder,
    detached,
    stdio: 'ignore',
    env: { LC_ALL: 'C', LD_LIBRARY_PATH: program.libraries.join(delimiter) },
  })
  let ended: string | undefined
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  }).then((reason) => {
    ended = reason
    return reason
  })
  if (detached) child.unref()

  const pid = child.pid ?? 0
  const probe = await waitUntilLoaded(serverUrl(settings), () => ended !== undefined, pid)
  if (probe !== undefined) return { pid, version: probe.version, exited }

  const lines = (await readFile(logFile, 'utf8').catch(() => '')).slice(logStart).trim().split('\n').slice(-5)
  if (lines.some((line) => line.includes('Address already in use'))) throw new PortTakenError(lines.join('\n'))
  throw new Error(`${program.path} did not start (${ended ?? 'no answer'}):\n${lines.join('\n')}`)
}

/** Waits as long as it takes to load: a large append-only file may need minutes. Undefined when the process ended. */
export async function waitUntilLoaded(
  url: string,
  hasEnded: () => boolean,
  pid?: number,
): Promise<Extract<Probe, { pid: number }> | undefined> {
  for (let pause = 5; !hasEnded(); pause = Math.min(pause * 2, 200)) {
    const probe = await probeServer(url)
    if (probe.state === 'ready' && (pid === undefined || probe.pid === pid)) return probe
    await sleep(pause)
  }
  return undefined
}

async function keepLogShort(file: string): Promise<void> {
  if ((await sizeOf(file)) > 1_000_000) await rename(file, `${file}.1`)
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0
}
