import { expect, it } from 'vitest'
import { createLeaseClock } from '../../../workers/watcher/lease-clock.ts'
import { createProcessGate } from '../../simulation/process-gate.ts'
import { createScheduler } from '../../simulation/scheduler.ts'

function open(answers: boolean[]) {
  const scheduler = createScheduler(0)
  const stage = { isSynced: true, asked: [] as string[], expired: [] as string[], scheduler }
  const clock = createLeaseClock({
    isSynced: () => stage.isSynced,
    async confirm(key, version) {
      stage.asked.push(`${key}@${version}`)
      return answers.shift() ?? true
    },
    expire: (key, version) => stage.expired.push(`${key}@${version}`),
    clock: createProcessGate(scheduler).clock,
  })
  return Object.assign(stage, { clock })
}

it('expires what was silent for its lifetime, once, after asking', async () => {
  const stage = open([])
  stage.clock.set('a/lock', '5', 10_000)
  await stage.scheduler.pass(9900)
  expect([stage.asked, stage.expired]).toEqual([[], []])
  await stage.scheduler.pass(60_000)
  expect([stage.asked, stage.expired]).toEqual([['a/lock@5'], ['a/lock@5']])
})

it('does not expire what the server has in a newer version, or cannot tell of', async () => {
  const stage = open([false, false])
  stage.clock.set('a/lock', '5', 1000)
  await stage.scheduler.pass(2500)
  expect([stage.asked.length, stage.expired]).toEqual([1, []])
  stage.clock.set('a/lock', '6', 1000)
  await stage.scheduler.pass(600)
  expect(stage.expired).toEqual([])
  await stage.scheduler.pass(20_000)
  expect(stage.expired).toEqual(['a/lock@6'])
})

it('expires nothing while the watch is not in sync, or after the object has gone', async () => {
  const stage = open([])
  stage.isSynced = false
  stage.clock.set('a/lock', '5', 1000)
  stage.clock.set('a/gone', '5', 1000)
  await stage.scheduler.pass(60_000)
  expect(stage.asked).toEqual([])
  stage.clock.set('a/gone', '7', undefined)
  stage.isSynced = true
  await stage.scheduler.pass(1000)
  expect(stage.expired).toEqual(['a/lock@5'])
})
