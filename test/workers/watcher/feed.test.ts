import { describe, expect, it } from 'vitest'
import type { AppendAnswer, Batch, Claim, LogWriter } from '../../../shared/log/writer.ts'
import { parseResources } from '../../../shared/resource.ts'
import { chooseNormalizer } from '../../../workers/normalize/choose.ts'
import { createEventEncoder } from '../../../workers/watcher/encode.ts'
import { createFeed, type Feed, type FeedNote } from '../../../workers/watcher/feed.ts'
import type { KnownSet } from '../../../workers/watcher/known-set.ts'
import { createLedger } from '../../../workers/watcher/ledger.ts'
import { createProcessGate } from '../../simulation/process-gate.ts'
import { createScheduler, type Scheduler } from '../../simulation/scheduler.ts'

const [watched] = parseResources('pods')
if (watched === undefined) throw new Error('no resource')

interface Stage {
  feed: Feed
  scheduler: Scheduler
  /** What was sent to the log. */
  sent: Batch[]
  /** What the log answers, one after the other; then always "ok". */
  answers: (AppendAnswer | Error)[]
  lost: string[]
  troubles: (string | undefined)[]
}

function open(options: { cursor?: string; note?: Partial<FeedNote>; batch?: number } = {}): Stage {
  const collection = watched as NonNullable<typeof watched>
  const normalizer = chooseNormalizer(collection)
  const known: KnownSet = new Map()
  const scheduler = createScheduler(0)
  const stage: Omit<Stage, 'feed'> = { scheduler, sent: [], answers: [], lost: [], troubles: [] }
  let seq = 0
  const refuse = () => Promise.reject(new Error('not asked for'))
  const writer: LogWriter = {
    claim: refuse,
    release: refuse,
    renewEpoch: refuse,
    async append(batch) {
      stage.sent.push(batch)
      const answer = stage.answers.shift()
      if (answer instanceof Error) throw answer
      if (answer !== undefined) return answer
      const events = batch.operations.filter(({ op }) => op === 'event').length
      seq += events
      return { outcome: 'ok', from: seq - events + 1, to: seq }
    },
  }
  const claim: Claim = { fence: '1', epoch: 'e', seq: 0, batch: 0, resourceVersion: options.cursor ?? '5', note: '' }
  const feed = createFeed({
    writer,
    claim,
    note: { clusterUid: 'c', isFirstSync: false, history: 0, ...options.note },
    ledger: createLedger({
      known,
      normalizer,
      encoder: createEventEncoder('c', collection, 'pod'),
      history: 0,
    }),
    normalizer,
    clock: createProcessGate(scheduler).clock,
    limits: { batch: options.batch ?? 500, backlog: 10 },
    onLost: (outcome) => stage.lost.push(outcome),
    onTrouble: (reason) => stage.troubles.push(reason),
    onDeadLetter: () => undefined,
  })
  return { ...stage, feed }
}

const pod = (name: string, rv: number) => ({
  kind: 'Pod',
  metadata: { name, namespace: 'a', uid: `u-${name}`, resourceVersion: String(rv) },
})
const cursors = ({ sent }: Stage) => sent.map(({ batch, resourceVersion }) => `${batch} ${resourceVersion}`)
const events = ({ sent }: Stage) =>
  sent.flatMap(({ operations }) => operations.flatMap((one) => (one.op === 'event' ? [JSON.parse(one.json).type] : [])))

describe('a feed', () => {
  it('R31 sends a change and the cursor behind it in one batch', async () => {
    const stage = open()
    stage.feed.emit(pod('web', 6), false)
    stage.feed.emit(pod('api', 7), false)
    stage.feed.advance('9')
    await stage.feed.flush()
    expect(cursors(stage)).toEqual(['1 6', '2 9'])
    expect(stage.sent.map(({ operations }) => operations.map(({ op }) => op))).toEqual([
      ['event', 'set'],
      ['event', 'set'],
    ])
  })

  it('R39 sends the very same batch again until the log takes it', async () => {
    const stage = open()
    stage.answers.push(new Error('OOM'), new Error('LOADING'))
    stage.feed.emit(pod('web', 6), false)
    await stage.scheduler.pass(1)
    stage.feed.emit(pod('web', 7), false)
    await stage.scheduler.pass(60_000)
    expect(cursors(stage)).toEqual(['1 6', '1 6', '1 6', '2 7'])
    expect(stage.sent[1]).toBe(stage.sent[0])
    expect(stage.troubles).toEqual(['OOM', 'LOADING', undefined])
  })

  it('goes on after a batch that turns out to be there', async () => {
    const stage = open()
    stage.answers.push({ outcome: 'duplicate', from: 1, to: 1 })
    stage.feed.emit(pod('web', 6), false)
    await stage.feed.flush()
    stage.feed.emit(pod('web', 7), false)
    await stage.feed.flush()
    expect([cursors(stage), stage.lost]).toEqual([['1 6', '2 7'], []])
    expect(stage.sent[1]?.seen).toBe(1)
  })

  it.each(['fenced', 'epoch', 'conflict'] as const)(
    'writes nothing more after it was answered "%s"',
    async (outcome) => {
      const stage = open()
      stage.answers.push({ outcome })
      stage.feed.emit(pod('web', 6), false)
      await stage.feed.flush()
      stage.feed.emit(pod('web', 7), false)
      await stage.feed.flush()
      expect([cursors(stage), stage.lost]).toEqual([['1 6'], [outcome]])
    },
  )

  it('lets what is no event wait for more of its kind, but not for long, and no event wait for it', async () => {
    const stage = open()
    stage.feed.emit(pod('web', 6), false)
    stage.feed.advance('7')
    await stage.scheduler.pass(0)
    stage.feed.advance('8')
    await stage.scheduler.pass(5)
    expect(cursors(stage)).toEqual(['1 6'])
    await stage.scheduler.pass(50)
    expect(cursors(stage)).toEqual(['1 6', '2 8'])
    stage.feed.advance('9')
    stage.feed.advance('10')
    await stage.scheduler.pass(0)
    stage.feed.emit(pod('web', 11), false)
    await stage.scheduler.pass(0)
    expect(cursors(stage)).toEqual(['1 6', '2 8', '3 9', '4 11'])
  })

  it('R15 forgets a snapshot that was broken off', async () => {
    const stage = open({ cursor: '' })
    stage.feed.stage(pod('gone', 3))
    stage.feed.clearStage()
    stage.feed.stage(pod('web', 4))
    stage.feed.stage(pod('no', 4))
    stage.feed.unstage(pod('no', 5))
    stage.feed.commit('9')
    await stage.feed.flush()
    expect(stage.sent[0]?.operations).toMatchObject([{ op: 'event' }, { op: 'set', key: 'a/web' }])
  })

  it('R1 writes a first sync without telling of it', async () => {
    const stage = open({ cursor: '', note: { isFirstSync: true } })
    stage.feed.stage(pod('web', 4))
    stage.feed.commit('9')
    stage.feed.emit(pod('web', 10), false)
    await stage.feed.flush()
    expect(events(stage)).toEqual(['k8s.pod.modified'])
  })

  it('R82 stores the version of a snapshot with its last part, and that it is unfinished with the others', async () => {
    const stage = open({ batch: 2 })
    for (const name of ['a', 'b', 'c']) stage.feed.stage(pod(name, 7))
    stage.feed.commit('9', 'expired')
    await stage.feed.flush()
    expect(cursors(stage)).toEqual(['1 5', '2 5', '3 5', '4 9'])
    const notes = stage.sent.map(({ note }) => (JSON.parse(note) as FeedNote).unfinished)
    expect(notes.slice(0, -1).every((unfinished) => unfinished === 'expired')).toBe(true)
    expect(notes.at(-1)).toBeUndefined()
  })

  it('R92 is full at its limit, and tells when it is short again', async () => {
    const stage = open()
    stage.answers.push(new Error('OOM'))
    for (let n = 0; n < 12; n++) stage.feed.emit(pod('web', 6 + n), false)
    await stage.scheduler.pass(1)
    for (let n = 0; n < 12; n++) stage.feed.emit(pod('web', 30 + n), false)
    expect(stage.feed.isFull()).toBe(true)
    let isShort = false
    void stage.feed.drained().then(() => {
      isShort = true
    })
    await stage.scheduler.pass(1)
    expect(isShort).toBe(false)
    await stage.scheduler.pass(10_000)
    expect([isShort, stage.feed.isFull()]).toEqual([true, false])
  })
})
