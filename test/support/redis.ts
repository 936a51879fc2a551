import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { findProgram, listCaches } from '../../infra/redis/find.ts'
import type { ServerProgram } from '../../infra/redis/program.ts'
import { findFreePort, launchServer, PortTakenError, type Server, serverUrl } from '../../infra/redis/server.ts'

export interface TestRedis {
  readonly url: string
  readonly port: number
  /** Its data folder. */
  readonly folder: string
  /** Sends a signal. Of one that ends the server, waits until it has ended; its data stay. */
  kill(signal?: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void>
  /** Starts it again on the same port and data, after ending it (SIGKILL) if it still runs. */
  restart(): Promise<void>
  /** Ends it and removes its folder. */
  stop(): Promise<void>
}

export interface TestRedisOptions {
  readonly appendfsync?: 'always' | 'everysec' | 'no'
  /** More arguments of redis-server, such as `['--enable-debug-command', 'yes']`. */
  readonly extraArgs?: readonly string[]
  /** Made up where not given. */
  readonly password?: string
  readonly port?: number
  /** The highest port that will do. */
  readonly highestPort?: number
}

/** Where tests look for a server: on PATH, or fetched once into the user's cache folder. */
export const testProgramSources = {
  searchPath: process.env.PATH ?? '',
  caches: listCaches(process.env.XDG_CACHE_HOME, homedir(), join(tmpdir(), 'kube-watch-relay')),
}

/** The server program that tests run. */
export function findTestProgram(): Promise<ServerProgram> {
  return findProgram({ ...testProgramSources, log: pino(pino.destination(2)) })
}

/** Vitest's globalSetup: fetches a missing server once, before test files start in parallel. */
export async function setup(): Promise<void> {
  await findTestProgram()
}

/** A real Redis server of one's own: free loopback port, temporary folder, append-only file on. */
export async function startTestRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const program = await findTestProgram()
  const folder = await mkdtemp(join(tmpdir(), 'relay-redis-'))
  const password = options.password ?? randomBytes(16).toString('hex')
  const findPort = async () => {
    let found: number
    do found = await findFreePort()
    while (found > (options.highestPort ?? 65_535))
    return found
  }
  let port = options.port ?? (await findPort())
  const launch = () => launchServer({ ...options, program, folder, password, port, detached: false })

  let server: Server | undefined
  for (let attempt = 1; server === undefined; attempt++) {
    try {
      server = await launch()
    } catch (error) {
      // Another process took the free port in between.
      if (!(error instanceof PortTakenError) || attempt === 5) throw error
      port = await findPort()
    }
  }

  const killNow = () => {
    if (server !== undefined) sendSignal(server.pid, 'SIGKILL')
  }
  process.once('exit', killNow)

  const kill: TestRedis['kill'] = async (signal = 'SIGKILL') => {
    if (server === undefined) return
    sendSignal(server.pid, signal)
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return
    await server.exited
    server = undefined
  }

  return {
    url: serverUrl({ port, password }),
    port,
    folder,
    kill,
    async restart() {
      await kill('SIGKILL')
      server = await launch()
    },
    async stop() {
      await kill('SIGKILL')
      process.removeListener('exit', killNow)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
