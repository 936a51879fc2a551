import { expect, it } from 'vitest'
import { createKeys } from '../../../shared/keys.ts'
import type { Logger } from '../../../shared/role.ts'
import type { Sink } from '../../../workers/reflector/reflector.ts'
import { createStatusBoard } from '../../../workers/watcher/status-board.ts'
import { createVitals } from '../../../workers/watcher/vitals.ts'
import { createProcessGate } from '../../simulation/process-gate.ts'
import { createScheduler } from '../../simulation/scheduler.ts'

const nothing = () => undefined
const sink: Sink = {
  stage: nothing,
  unstage: nothing,
  clearStage: nothing,
  commit: nothing,
  emit: nothing,
  advance: nothing,
  identify: nothing,
  deadLetter: nothing,
  isFull: () => false,
  drained: () => Promise.resolve(),
}

it('R75 measures the ages of event, bookmark and cursor, and counts relists and gaps', () => {
  let now = 1_000_000
  const vitals = createVitals({ now: () => now })
  const observed = vitals.observe(sink)
  expect(vitals.read()).toEqual({ relists: 0, gaps: 0, lag: 0 })
  vitals.synced(true)
  observed.commit('5')
  observed.commit('9', 'expired')
  observed.emit({}, false)
  now += 4000
  observed.advance('10')
  now += 3000
  vitals.stored(undefined)
  now += 1000
  expect(vitals.read()).toEqual({ eventAge: 8, bookmarkAge: 4, cursorAge: 1, relists: 2, gaps: 1, lag: 0 })
})

it('R94 raises an alarm while changes wait, or the watch is down, for almost as long as the server keeps them', () => {
  let now = 1_000_000
  const vitals = createVitals({ now: () => now })
  vitals.synced(true)
  vitals.waiting()
  now += 44_000
  vitals.waiting()
  expect(vitals.read()).toEqual({ relists: 0, gaps: 0, lag: 44 })
  now += 1000
  expect(vitals.read()).toMatchObject({ lag: 45, alarm: 'lag' })
  vitals.stored(now - 2000)
  expect(vitals.read()).toMatchObject({ lag: 2 })
  vitals.stored(undefined)
  vitals.synced(false)
  now += 50_000
  vitals.synced(false)
  expect(vitals.read()).toMatchObject({ lag: 50, alarm: 'lag' })
  vitals.synced(true)
  expect(vitals.read().alarm).toBeUndefined()
})

it('R75 R94 publishes them with the state of the feed, and warns once', async () => {
  const scheduler = createScheduler(1_000_000)
  const { clock } = createProcessGate(scheduler)
  const published: { vitals?: unknown }[] = []
  const warnings: string[] = []
  const log: Logger = {
    trace: nothing,
    debug: nothing,
    info: nothing,
    warn: (_, message) => warnings.push(message),
    error: nothing,
    child: () => log,
  }
  const redis = {
    call: async (command: string, ...args: (string | number)[]) =>
      command === 'HSET' && published.push(JSON.parse(String(args[2]))),
  }
  const board = createStatusBoard(redis, createKeys('c'), log, clock)
  const vitals = createVitals(clock)
  board.measure('pods', vitals.read)
  board.set('pods', 'syncing')
  await scheduler.pass(61_000)
  expect(published.at(-1)).toMatchObject({ state: 'syncing', vitals: { relists: 0, lag: 60, alarm: 'lag' } })
  expect(warnings).toEqual([expect.stringContaining('lags behind')])
  board.stop()
})
