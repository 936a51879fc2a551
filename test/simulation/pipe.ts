import { Readable } from 'node:stream'
import type { ProcessGate } from './process-gate.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

/** One direction of a simulated connection: bytes arrive late and cut anywhere, but in order. */
export interface Pipe {
  /** What the receiver reads. */
  body: Readable
  write(text: string): void
  /** Ends the response in the regular way, after what was written. */
  end(): void
  /** Breaks the connection, after what was written. */
  reset(): void
  /** The connection lives on, and nothing arrives any more: half-open. */
  stall(): void
  readonly isOpen: boolean
}

/** Opens one to a process; it ends when the signal aborts, as the process hangs up. */
export function openPipe(deps: {
  scheduler: Scheduler
  random: Random
  gate: ProcessGate
  signal: AbortSignal
  onClose?: () => void
}): Pipe {
  const { scheduler, random, gate, signal } = deps
  const body = new Readable({ read: () => undefined })
  // Nobody listens between the answer's headers and the first read.
  body.on('error', () => undefined)
  let queued = ''
  let ending: 'end' | 'reset' | undefined
  let isStalled = false
  let isOpen = true
  let isFlushing = false

  function close(): void {
    if (!isOpen) return
    isOpen = false
    signal.removeEventListener('abort', hangUp)
    deps.onClose?.()
  }

  function hangUp(): void {
    close()
    body.destroy(Object.assign(new Error('aborted'), { name: 'AbortError' }))
  }
  signal.addEventListener('abort', hangUp)

  function flush(): void {
    isFlushing = false
    if (isStalled || !isOpen) return
    const bytes = Buffer.from(queued)
    queued = ''
    const places =
      bytes.length < 2 ? [] : Array.from({ length: random.int(0, 2) }, () => random.int(1, bytes.length - 1))
    const at = [0, ...places.toSorted((a, b) => a - b), bytes.length]
    for (const [index, start] of at.entries()) {
      const chunk = bytes.subarray(start, at[index + 1])
      if (index < at.length - 1 && chunk.length > 0) gate.deliver(() => body.destroyed || body.push(chunk))
    }
    if (ending === undefined) return
    const how = ending
    close()
    gate.deliver(() => {
      if (how === 'end') body.push(null)
      else body.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
    })
  }

  function schedule(): void {
    if (isFlushing || !isOpen) return
    isFlushing = true
    scheduler.after(random.int(0, 8), flush)
  }

  return {
    body,
    write(text) {
      if (ending !== undefined) return
      queued += text
      schedule()
    },
    end() {
      ending ??= 'end'
      schedule()
    },
    reset() {
      ending ??= 'reset'
      schedule()
    },
    stall() {
      isStalled = true
    },
    get isOpen() {
      return isOpen
    },
  }
}
