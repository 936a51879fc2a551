import type { LogWriter } from '../../shared/log/writer.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { StateReader } from '../../shared/state.ts'
import type { Store } from '../../workers/watcher/store.ts'
import type { LogFault } from './faults.ts'
import type { ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimulatedLog } from './simulated-log.ts'

/** What lies between processes and the log. */
export interface LogNetwork {
  /** The store of one watcher process. */
  openStore(gate: ProcessGate): Store
  /** A client that understands what readers of the log and the status board send. */
  openClient(gate: ProcessGate): RedisClient
  /** The next commands of watchers will be hit. */
  arm(fault: LogFault, times: number): void
  /** Nobody is answered for a while; what was sent is sent again afterwards, as ioredis does. */
  goDown(ms: number, isRestart: boolean): void
  heal(): void
  /** True when no fault waits to hit. */
  isCalm(): boolean
  readonly exercised: Map<string, number>
}

const closed = 'Connection is closed.'
const refusals = {
  oom: "OOM command not allowed when used memory > 'maxmemory'.",
  loading: 'LOADING Redis is loading the dataset in memory',
}

/** Creates the network to a log. */
export function createLogNetwork(deps: { log: SimulatedLog; scheduler: Scheduler; random: Random }): LogNetwork {
  const { log, scheduler, random } = deps
  const armed: { fault: LogFault; times: number }[] = []
  const exercised = new Map<string, number>()
  let downUntil = 0
  let wakeups: (() => void)[] = []

  log.onAppend = () => {
    const woken = wakeups
    wakeups = []
    for (const wake of woken) wake()
  }

  const count = (name: string) => exercised.set(name, (exercised.get(name) ?? 0) + 1)

  function take(): LogFault | undefined {
    const found = armed[0]
    if (found === undefined) return undefined
    if (--found.times <= 0) armed.shift()
    count(found.fault)
    return found.fault
  }

  /** A connection's way of carrying commands: in order, each to the log and its answer back. */
  function openLine(gate: ProcessGate) {
    let arrival = 0
    let delivery = 0
    return function send<T>(perform: () => T, isHittable: boolean): Promise<T> {
      const { promise, resolve, reject } = Promise.withResolvers<T>()
      const fault = isHittable ? take() : undefined
      const delay = fault === 'late-request' ? random.int(500, 15_000) : random.int(0, 3)
      arrival = Math.max(arrival, scheduler.now() + delay, downUntil + (downUntil > scheduler.now() ? 50 : 0))
      scheduler.after(arrival - scheduler.now(), arrive)

      function arrive(): void {
        if (scheduler.now() < downUntil) {
          arrival = Math.max(arrival, downUntil + 50)
          scheduler.after(downUntil + 50 - scheduler.now(), arrive)
          return
        }
        if (fault === 'oom' || fault === 'loading') answer(() => reject(new Error(refusals[fault])))
        else if (fault === 'lost-request') answer(() => reject(new Error(closed)))
        else {
          let value = perform()
          if (fault === 'resent') value = perform()
          answer(() => (fault === 'lost-answer' ? reject(new Error(closed)) : resolve(value)))
        }
      }

      function answer(run: () => void): void {
        const wait = fault === 'late-answer' ? random.int(500, 15_000) : random.int(0, 3)
        delivery = Math.max(delivery, scheduler.now() + wait)
        scheduler.after(delivery - scheduler.now(), () => gate.deliver(run))
      }
      return promise
    }
  }

  function openStore(gate: ProcessGate): Store {
    const send = openLine(gate)
    return {
      openWriter(feed, resource): LogWriter {
        const writer = log.openWriter(feed, resource)
        return {
          claim: (owner, leaseMs) => send(() => writer.claim(owner, leaseMs), true),
          append: (batch) => send(() => writer.append(batch), true),
          release: (fence) => send(() => writer.release(fence), true),
          renewEpoch: (fence) => send(() => writer.renewEpoch(fence), true),
        }
      },
      state: {
        get: (...args) => send(() => log.state.get(...args), true),
        page: (...args) => send(() => log.state.page(...args), true),
        find: (...args) => send(() => log.state.find(...args), true),
        terms: (...args) => send(() => log.state.terms(...args), true),
        heldTerms: (...args) => send(() => log.state.heldTerms(...args), true),
        holds: (...args) => send(() => log.state.holds(...args), true),
      } as StateReader,
      keepDeadLetter: () => send(() => void count('dead-letter'), false),
    }
  }

  function openClient(gate: ProcessGate): RedisClient {
    const send = openLine(gate)
    /** A blocking read holds up what was sent after it. */
    let last: Promise<unknown> = Promise.resolve()
    return {
      call(command, ...args) {
        const answer = last.then(() => {
          if (command === 'XREAD') return block(args, send)
          return send(() => perform(command, args), false)
        })
        last = answer
        return answer
      },
    }
  }

  async function block(args: (string | number)[], send: ReturnType<typeof openLine>): Promise<unknown> {
    const [, limit, , patience] = args.map(Number)
    const after = Number.parseInt(String(args.at(-1)), 10)
    const deadline = scheduler.now() + (patience ?? 0)
    while (true) {
      const entries = await send(() => log.read(after, limit ?? 1), false)
      if (entries.length > 0) return [['log', toWire(entries)]]
      if (scheduler.now() >= deadline) return null
      await new Promise<void>((resolve) => {
        const cancel = scheduler.after(deadline - scheduler.now(), resolve)
        wakeups.push(() => {
          cancel()
          resolve()
        })
      })
    }
  }

  function perform(command: string, args: (string | number)[]): unknown {
    switch (command) {
      case 'HMGET': {
        const meta: Record<string, string | number> = { ...log.meta(), key: 'aa'.repeat(32) }
        return args.slice(1).map((field) => {
          const value = meta[field]
          return value === undefined || value === '' ? null : String(value)
        })
      }
      case 'HSETNX':
        log.beginEpoch(String(args[2]))
        return 1
      case 'XRANGE':
        return toWire(log.read(Number.parseInt(String(args[1]).slice(1), 10), Number(args[4])))
      default:
        // The status board's writes: nobody reads them here.
        return 1
    }
  }

  return {
    openStore,
    openClient,
    arm(fault, times) {
      armed.push({ fault, times })
    },
    goDown(ms, isRestart) {
      count(isRestart ? 'log-restart' : 'log-down')
      if (isRestart) log.restart()
      downUntil = Math.max(downUntil, scheduler.now() + ms)
    },
    heal() {
      armed.length = 0
    },
    isCalm: () => armed.length === 0 && scheduler.now() > downUntil,
    exercised,
  }
}

function toWire(entries: { seq: number; json: string }[]): [string, string[]][] {
  return entries.map(({ seq, json }) => [`${seq}-0`, ['e', json]])
}
