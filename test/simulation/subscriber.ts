import { openCursor } from '../../shared/cursor.ts'
import { RelayError } from '../../shared/errors.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { compileFilter, parseFilter, type Scope } from '../../shared/filter/filter.ts'
import type { Keys } from '../../shared/keys.ts'
import { createLogReader, followLog } from '../../shared/log/reader.ts'
import { formatPosition, type Position, parsePosition } from '../../shared/position.ts'
import { sleep } from '../../workers/clock.ts'
import type { LogNetwork } from './log-connection.ts'
import { createProcessGate, type ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** What a subscriber was told, in order. */
export type Told =
  /** It reads from here: at first, and after it was told that its place is gone. */
  | { type: 'start' | 'reset'; at: number; epoch: string; seq: number }
  | { type: 'event'; at: number; epoch: string; seq: number; json: string; scope: Scope }
  /** Nothing more for it up to here. */
  | { type: 'heartbeat'; at: number; epoch: string; seq: number }

export interface Subscriber {
  filter: Record<string, string>
  told: Told[]
  /** The last entry that it has read past. */
  seq(): number
  /** Drops the connection, and comes back with the last cursor after so many ms. */
  disconnect(ms: number): void
}

/** Starts a subscriber at the beginning of the log. */
export function startSubscriber(deps: {
  filter: Record<string, string>
  network: LogNetwork
  keys: Keys
  scheduler: Scheduler
  random: Random
  onFault: (message: string) => void
}): Subscriber {
  const { filter, network, keys, scheduler, random } = deps
  const matches = compileFilter(parseFilter(filter))
  const told: Told[] = []
  /** What the client has kept: the cursor of the last message it handled. */
  let cursor: string | undefined
  let gate: ProcessGate
  let read = 0
  let connections = 0

  function connect(): void {
    const mine = connections
    gate = createProcessGate(scheduler)
    run(gate).catch((error: unknown) => {
      if (mine === connections) deps.onFault(`a subscriber failed: ${error instanceof Error ? error.stack : error}`)
    })
  }

  async function run(own: ProcessGate): Promise<void> {
    const client = network.openClient(own)
    const reader = createLogReader(client, keys)
    const start = async (): Promise<Position> => {
      if (cursor === undefined) return tell('start', reader.oldest(await reader.bounds()))
      const position = parsePosition(cursor)
      try {
        await reader.check(position)
        return position
      } catch (error) {
        if (!(error instanceof RelayError) || error.details.oldest === undefined) throw error
        return tell('reset', openCursor(error.details.oldest))
      }
    }
    let position = await start()
    const { signal } = new AbortController()
    while (!own.isDead()) {
      for await (const step of followLog(client, keys, position, { signal, block: 5000, limit: random.int(1, 20) })) {
        // One that reads slowly is overtaken by the log, and by its trimming.
        if (random.chance(0.05)) await sleep(own.clock, random.int(100, 20_000))
        if (step.type === 'reset') position = tell('reset', step.oldest)
        else if (step.type === 'idle') position = tell('heartbeat', step.position)
        else for (const { seq, json } of step.entries) handle(step.epoch, seq, json)
      }
    }
  }

  function handle(epoch: string, seq: number, json: string): void {
    read = seq
    const scope = matches(JSON.parse(json) as RelayEvent)
    if (scope === undefined) return
    told.push({ type: 'event', at: scheduler.now(), epoch, seq, json, scope })
    cursor = formatPosition({ epoch, seq })
  }

  function tell(type: 'start' | 'reset' | 'heartbeat', position: Position): Position {
    const last = told.at(-1)
    const isNews = type !== 'heartbeat' || last?.seq !== position.seq || last.epoch !== position.epoch
    if (isNews) told.push({ type, at: scheduler.now(), ...position })
    cursor = formatPosition(position)
    read = position.seq
    return position
  }

  connect()
  return {
    filter,
    told,
    seq: () => read,
    disconnect(ms) {
      gate.kill()
      const mine = ++connections
      scheduler.after(ms, () => mine === connections && connect())
    },
  }
}
