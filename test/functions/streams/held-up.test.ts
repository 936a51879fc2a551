import { afterEach, expect, test } from 'vitest'
import { defaultLimits } from '../../../functions/limits.ts'
import { sse } from '../../../functions/streams/frames.ts'
import { createHub, type Hub } from '../../../functions/streams/hub.ts'
import { openStream } from '../../../functions/streams/subscription.ts'
import { createCursorSeal } from '../../../shared/cursor.ts'
import { createKeys } from '../../../shared/keys.ts'
import type { LogReader } from '../../../shared/log/reader.ts'
import type { Logger } from '../../../shared/role.ts'
import { until } from '../serving.ts'

const never = () => new Promise<never>(() => undefined)
const ignore = () => undefined
const log = { debug: ignore, info: ignore, warn: ignore, error: ignore } as unknown as Logger
const limits = { ...defaultLimits, stall: 300, heartbeat: 100_000, drain: 0 }

let hub: Hub | undefined
afterEach(() => hub?.drain())

/** Does nothing else for so long, as a process does that is stopped, swapped out or busy. */
function holdUp(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

test('a process that was held up cuts none of its readers for it, and cuts the one that stays away', async () => {
  const redis = { call: never }
  const connect = () => ({ redis, close: () => undefined })
  const reader = { bounds: never } as unknown as LogReader
  hub = createHub({ connect, reader, keys: createKeys('test'), log, limits })
  async function* prelude() {
    yield new Uint8Array(1)
    yield new Uint8Array(2)
  }
  const start = { position: { epoch: 'e', seq: 0 }, seal: createCursorSeal('00'.repeat(32)) }
  const flow = openStream({ hub, log, limits }, { filter: {}, format: sse, start, prelude: prelude() })
  const written: number[] = []
  let isCut = false
  flow.start({
    write(bytes) {
      written.push(bytes.length)
      return false
    },
    close: () => undefined,
    cut() {
      isCut = true
    },
  })
  flow.want()
  await until(() => written.length === 1)
  // The reader takes it at once, but nobody is there to hear of it: timers come before sockets.
  setImmediate(() => setImmediate(() => flow.want()))
  holdUp(2 * limits.stall)
  await until(() => written.length === 2 || isCut)
  expect(isCut).toBe(false)
  await until(() => isCut)
  expect(written).toEqual([1, 2])
})
