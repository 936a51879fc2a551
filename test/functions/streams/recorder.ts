import { openCursor } from '../../../shared/cursor.ts'
import type { Scope } from '../../../shared/filter/filter.ts'
import type { Random } from '../../simulation/random.ts'
import type { Told } from '../../simulation/subscriber.ts'
import { transports } from './transports.ts'

/** What a transport hears, in its own words. */
export interface Heard {
  /** Undefined: an event. */
  control?: 'ready' | 'reset' | 'heartbeat'
  cursor: string
  /** The event as it came, with `cursor` and perhaps `scope` in front. */
  json?: string
}

/** Connects once: from a cursor, or from the beginning. Ends, or throws, when the connection does or `signal` aborts. */
export type Transport = (
  address: { url: string; query: string },
  cursor: string | undefined,
  hear: (heard: Heard) => void,
  signal: AbortSignal,
) => Promise<void>

/** A subscriber over a real connection that is lost again and again, and what it was told. */
export interface Recorder {
  readonly name: string
  readonly filter: Record<string, string>
  readonly told: Told[]
  /** The last entry that it has heard of, itself or by a heartbeat. */
  seq(): number
  /** What no connection may do. */
  readonly faults: string[]
  stop(): Promise<void>
}

/** Starts one at the beginning of the log. */
export function startRecorder(
  url: string,
  transport: keyof typeof transports,
  filter: Record<string, string>,
  random: Random,
): Recorder {
  const name = `${transport} ${JSON.stringify(filter)}`
  const told: Told[] = []
  const faults: string[] = []
  const over = new AbortController()
  const address = { url, query: new URLSearchParams(filter).toString() }
  let cursor: string | undefined
  let seq = 0

  const note = ({ control, cursor: at, json }: Heard) => {
    const position = openCursor(at)
    if (control === 'ready' && cursor !== undefined) {
      if (at !== cursor) faults.push(`came back with ${cursor}, and was put at ${at}`)
      return
    }
    cursor = at
    seq = position.seq
    if (control !== undefined) {
      const type = control === 'ready' ? 'start' : control
      const last = told.at(-1)
      if (type !== 'heartbeat' || last?.seq !== seq) told.push({ type, at: 0, ...position })
      return
    }
    const [front = '', scope = 'in'] = /^\{"cursor":"[^"]+",(?:"scope":"(\w+)",)?/.exec(json ?? '') ?? []
    const stored = `{${json?.slice(front.length)}`
    told.push({ type: 'event', at: 0, ...position, json: stored, scope: scope as Scope })
  }

  const run = async () => {
    while (!over.signal.aborted) {
      const connection = new AbortController()
      const signal = AbortSignal.any([connection.signal, over.signal])
      // Most connections last for a few messages, some to the end.
      let left = random.chance(0.2) ? Number.POSITIVE_INFINITY : random.int(1, 25)
      const hear = (heard: Heard) => {
        if (signal.aborted) return
        note(heard)
        if (--left <= 0) connection.abort()
      }
      try {
        await transports[transport](address, cursor, hear, signal)
      } catch (error) {
        if (!signal.aborted) faults.push(String(error))
      }
      await new Promise((resolve) => setTimeout(resolve, random.int(0, 150)))
    }
  }
  const running = run()
  return {
    name,
    filter,
    told,
    faults,
    seq: () => seq,
    async stop() {
      over.abort()
      await running
    },
  }
}
