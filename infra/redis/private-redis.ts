import { readlink, realpath } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../shared/role.ts'
import { lockFolder } from '../node/lock.ts'
import { SetupError } from '../node/setup-error.ts'
import { findProgram } from './find.ts'
import { requestShutdown } from './probe.ts'
import type { ServerProgram } from './program.ts'
import { findFreePort, launchServer, PortTakenError, type Server, serverUrl, waitUntilLoaded } from './server.ts'
import { ensurePassword, findServer, isAlive, readLivingPid, removeState, serverFolder, writeState } from './state.ts'

export interface PrivateRedisOptions {
  /** The data folder (RELAY_DATA); the server's files go to `redis/` in it. */
  readonly dir: string
  /** The PATH variable. */
  readonly searchPath: string
  /** Folders for a fetched server, best first (`listCaches`). */
  readonly caches: readonly string[]
  readonly log: Logger
}

export interface PrivateRedis {
  /** Address with the password: never log it. Stays the same while this runs. */
  readonly url: string
  /** A server that a killed relay left behind was taken over, instead of a new one started. */
  readonly adopted: boolean
  readonly version: string
  /** Where the program comes from, for people. */
  readonly how: string
  /** Ends the server after it has written everything to disk. */
  stop(): Promise<void>
  /** Asks the server to end, without waiting for it. It still writes everything to disk. */
  terminate(): void
}

/** How long a server may take to end. It writes to disk meanwhile, so that it is never killed. */
const shutdownPatience = 15_000

/**
 * Starts the private Redis server of a data folder and keeps it running: one that dies is started again on the same port.
 *
 * @throws SetupError when another relay has the folder, or no server program can be had.
 */
export async function startPrivateRedis(options: PrivateRedisOptions): Promise<PrivateRedis> {
  const folder = serverFolder(options.dir)
  const lock = await lockFolder(folder)
  if ('heldBy' in lock) {
    throw new SetupError(`Another relay (process ${lock.heldBy}) runs on the data folder ${options.dir}.`)
  }
  try {
    const { server, port, password, how, adopted, program } = await adoptOrLaunch(folder, options)
    const relaunch = async () => {
      const ready = program ?? (await findProgram(options))
      return launchServer({ program: ready, folder, password, port, detached: true })
    }
    const keeper = keepRunning(server, relaunch, options.log)
    const url = serverUrl({ port, password })
    return {
      url,
      adopted,
      version: server.version,
      how,
      async stop() {
        await keeper.stop(url)
        await removeState(folder)
        lock.release()
      },
      terminate: keeper.terminate,
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

interface Started {
  readonly server: Server
  readonly port: number
  readonly password: string
  readonly how: string
  readonly adopted: boolean
  readonly program?: ServerProgram
}

async function adoptOrLaunch(folder: string, options: PrivateRedisOptions): Promise<Started> {
  const password = await ensurePassword(folder)
  const left = await findServer(folder)
  if (left !== undefined && 'pid' in left.probe) {
    const { pid } = left.probe
    options.log.info({ pid }, 'found the Redis server that an earlier relay left running: taking it over')
    const loaded = await waitUntilLoaded(left.url, () => !isAlive(pid), pid)
    if (loaded !== undefined) {
      const server = { pid, version: loaded.version, exited: watchProcess(pid) }
      return { server, port: left.port, password, how: left.how, adopted: true }
    }
  }
  await refuseSecondWriter(folder)

  const program = await findProgram(options)
  let port = left?.port ?? (await findFreePort())
  for (let attempt = 1; ; attempt++) {
    await writeState(folder, { port, how: program.how })
    try {
      const server = await launchServer({ program, folder, password, port, detached: true })
      return { server, port, password, how: program.how, adopted: false, program }
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt === 5) throw error
      port = await findFreePort()
    }
  }
}

/** Two servers on one append-only file would destroy it, so one that is alive but does not answer is never ignored. */
async function refuseSecondWriter(folder: string): Promise<void> {
  const pid = await readLivingPid(folder)
  if (pid === 0) return
  // A pid may have passed on to another program since; the server's working directory is its data folder.
  const directory = await readlink(`/proc/${pid}/cwd`).catch(() => undefined)
  if (directory !== undefined && directory !== (await realpath(folder))) return
  throw new SetupError(
    `The Redis server of ${folder} (process ${pid}) is alive but does not answer. End it, then start again.`,
  )
}

/** Of a process that is not our child, its end can only be seen by looking. */
async function watchProcess(pid: number): Promise<string> {
  while (isAlive(pid)) await sleep(250, undefined, { ref: false })
  return 'gone'
}

interface Keeper {
  stop(url: string): Promise<void>
  terminate(): void
}

function keepRunning(first: Server, relaunch: () => Promise<Server>, log: Logger): Keeper {
  const stopping = new AbortController()
  const { signal } = stopping
  let current: Promise<Server | undefined> = Promise.resolve(first)
  let pid: number | undefined = first.pid

  const tryAgain = () =>
    relaunch().then(
      (server) => {
        log.info({ pid: server.pid }, 'the private Redis server runs again')
        return server
      },
      (error: unknown) => {
        log.error({ error: String(error) }, 'the private Redis server does not start')
        return undefined
      },
    )

  const loop = async () => {
    for (let pause = 100; ; pause = Math.min(pause * 2, 5_000)) {
      const server = await current
      pid = server?.pid
      if (server !== undefined) {
        const started = performance.now()
        const reason = await server.exited
        pid = undefined
        if (signal.aborted) return
        log.error({ reason }, 'the private Redis server ended; starting it again')
        if (performance.now() - started > 30_000) pause = 100
      }
      await sleep(pause, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      current = tryAgain()
    }
  }
  void loop()

  return {
    terminate() {
      stopping.abort()
      if (pid !== undefined) process.kill(pid, 'SIGTERM')
    },
    async stop(url) {
      stopping.abort()
      const server = await current
      if (server === undefined) return
      await requestShutdown(url)
      // This timer alone may keep the process running until then: of a server that was taken over, nothing else does.
      const patience = new AbortController()
      const late = sleep(shutdownPatience, undefined, { signal: patience.signal }).catch(() => undefined)
      const outcome = await Promise.race([server.exited, late])
      patience.abort()
      if (outcome === undefined) {
        log.warn({ pid: server.pid }, 'the private Redis server takes long to end; it goes on alone')
      }
    },
  }
}
