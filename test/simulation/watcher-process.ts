import type { Keys } from '../../shared/keys.ts'
import { parseResources } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { createStatusBoard } from '../../workers/watcher/status-board.ts'
import { watchResource } from '../../workers/watcher/watcher.ts'
import type { ApiServer } from './api-server.ts'
import type { LogNetwork } from './log-connection.ts'
import type { Plan } from './plan.ts'
import { createProcessGate, type ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** A watcher's process, life after life. */
export interface WatcherProcess {
  /** Ends this life at once, with everything in memory; the next begins after so many ms. */
  crash(ms: number): void
  /** Ends it as SIGTERM does. */
  stop(ms: number): void
  /** Stops it as SIGSTOP does, for so many ms. */
  pause(ms: number): void
}

export const clusterName = 'sim'

/** Starts one. `onFault` hears of every failure that is the watcher's own. */
export function startWatcherProcess(deps: {
  id: number
  plan: Plan
  scheduler: Scheduler
  random: Random
  api: ApiServer
  network: LogNetwork
  keys: Keys
  onFault: (message: string) => void
  trace?: ((line: string) => void) | undefined
}): WatcherProcess {
  const { id, plan, scheduler, random, api, network, keys } = deps
  let lives = 0
  let gate: ProcessGate = createProcessGate(scheduler)
  let stopping = new AbortController()
  /** Counts what ends a life, so that only one of them starts the next. */
  let ends = 0

  function live(): void {
    const owner = `watcher-${id}-${++lives}`
    const mine = createProcessGate(scheduler)
    gate = mine
    stopping = new AbortController()
    const log = createLogger(owner)
    const board = createStatusBoard(network.openClient(mine), keys, log, mine.clock)
    const shared = {
      client: api.connect(mine),
      store: network.openStore(mine),
      cluster: clusterName,
      owner,
      board,
      log,
      clock: mine.clock,
      random: random.next,
      leastTimeoutSeconds: plan.leastTimeoutSeconds,
      limits: plan.limits,
    }
    const feeds = parseResources(plan.resources).map((watched) => watchResource(watched, shared, stopping.signal))
    Promise.all(feeds).then(
      () => {
        board.stop()
        if (!mine.isDead()) api.drop(mine)
      },
      (error: unknown) => deps.onFault(`${owner} ended: ${describe(error)}`),
    )
  }

  function createLogger(owner: string): Logger {
    const write = (level: string) => (fields: object, message: string) => {
      const { err } = fields as { err?: unknown }
      deps.trace?.(`${owner} ${level}: ${message} ${err === undefined ? JSON.stringify(fields) : describe(err)}`)
      if (level === 'error' && err !== undefined && !isWeather(err)) deps.onFault(`${owner}: ${describe(err)}`)
    }
    const log: Logger = {
      trace: () => undefined,
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      child: () => log,
    }
    return log
  }

  function rise(ms: number): void {
    const end = ++ends
    scheduler.after(ms, () => {
      if (end !== ends) return
      bury()
      live()
    })
  }

  function bury(): void {
    gate.kill()
    api.drop(gate)
  }

  live()
  return {
    crash(ms) {
      bury()
      rise(ms)
    },
    stop(ms) {
      const signal = stopping
      gate.deliver(() => signal.abort())
      rise(Math.max(ms, 10_000))
    },
    pause(ms) {
      const paused = gate
      paused.pause()
      scheduler.after(ms, () => paused.resume())
    },
  }
}

/** Failures that the simulated network made, not the watcher. */
function isWeather(error: unknown): boolean {
  return error instanceof Error && /^(OOM|LOADING|Connection is closed)/.test(error.message)
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
