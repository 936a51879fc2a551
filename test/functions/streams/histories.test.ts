import { setTimeout } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { createLogReader } from '../../../shared/log/reader.ts'
import { createLogWriter, type LogWriter } from '../../../shared/log/writer.ts'
import type { History } from '../../simulation/history.ts'
import { drawPlan } from '../../simulation/plan.ts'
import { createRandom, type Random } from '../../simulation/random.ts'
import { judgeHistory } from '../../simulation/validators/validators.ts'
import { playPlan } from '../../simulation/world.ts'
import { keys, type Serving, startServing, until } from '../serving.ts'
import { type Recorder, startRecorder } from './recorder.ts'
import { transports } from './transports.ts'

const filters: Record<string, string>[] = [
  {},
  { labelSelector: 'app=web' },
  { phase: 'Running,Failed', resource: 'pods' },
  { type: 'k8s.pod.deleted,k8s.lease.*' },
  { change: 'labels,transferred', namespace: 'shop' },
]

let serving: Serving
afterEach(() => serving.stop())

/** A history of a simulated cluster and its watchers, with all that befalls those; its log never goes back. */
async function drawHistory(seed: number): Promise<History> {
  const plan = drawPlan(seed)
  const isKept = ({ deed }: (typeof plan.steps)[number]) => deed.do !== 'log-rewind' && deed.do !== 'log-down'
  const steps = plan.steps.filter(isKept)
  return playPlan({ ...plan, subscribers: [], retention: { keepEntries: 100_000 }, steps })
}

/** Appends the batches of a history to the log in Redis, in bursts. */
async function append(history: History, keepEntries: number, random: Random): Promise<void> {
  const writers = new Map<string, { writer: LogWriter; batch: number; seq: number; fence: string; epoch: string }>()
  for (const deed of history.deeds) {
    if (deed.type !== 'append') throw new Error('the log went back')
    let found = writers.get(deed.feed)
    if (found === undefined) {
      const { resource, feed } = deed
      const writer = createLogWriter({ redis: serving.client, keys, feed, resource, keepEntries })
      const claim = await writer.claim('test', 3_600_000)
      if (claim.held) throw new Error('the feed is held')
      found = { writer, batch: 0, seq: 0, fence: claim.fence, epoch: claim.epoch }
      writers.set(deed.feed, found)
    }
    const { writer, fence, epoch } = found
    const answer = await writer.append({ ...deed.batch, fence, epoch, batch: ++found.batch, seen: 0 })
    expect(answer).toMatchObject({ outcome: 'ok', from: deed.from, to: deed.to })
    if (random.chance(0.3)) await setTimeout(random.int(0, 40))
  }
}

test.each([
  { seed: 11, keepEntries: 100_000 },
  { seed: 12, keepEntries: 15 },
  { seed: 13, keepEntries: 100_000 },
  { seed: 14, keepEntries: 15 },
  { seed: 15, keepEntries: 40 },
])(
  'what filtered subscribers are told over the wire is as it must be, $seed keeping $keepEntries',
  async (wish) => {
    const random = createRandom(wish.seed)
    const history = await drawHistory(wish.seed)
    serving = await startServing({ limits: { heartbeat: 200, ring: 2_000, drain: 50 } })
    const recorders: Recorder[] = filters.flatMap((filter) =>
      Object.keys(transports).map((transport) =>
        startRecorder(serving.url, transport as keyof typeof transports, filter, random.fork()),
      ),
    )
    await until(() => recorders.every(({ told }) => told.length > 0))
    await append(history, wish.keepEntries, random)
    const { first, last, epoch } = await createLogReader(serving.client, keys).bounds()
    await until(() => recorders.every((recorder) => recorder.seq() === last), 30_000)
    await Promise.all(recorders.map((recorder) => recorder.stop()))

    const faults = recorders.flatMap(({ name, faults: own }) => own.map((fault) => `${name}: ${fault}`))
    const subscribers = recorders.map(({ filter, told, seq }) => ({ filter, told, seq: seq() }))
    expect(judgeHistory({ ...history, first, subscribers, faults })).toEqual([])
    // To the last byte, whatever the filter.
    const stored = history.deeds.flatMap((deed) => (deed.type === 'append' ? deed.batch.operations : []))
    const events = stored.flatMap((operation) => (operation.op === 'event' ? [operation.json] : []))
    for (const { name, told } of recorders) {
      for (const one of told) {
        expect(one.epoch).toBe(epoch)
        if (one.type === 'event') expect(one.json, name).toBe(events[one.seq - 1])
      }
    }
  },
  60_000,
)
