import { describe, expect, it } from 'vitest'
import { requestFaults, watchFaults } from './faults.ts'
import type { History } from './history.ts'
import { drawPlan, type Plan } from './plan.ts'
import { shrinkPlan } from './shrink.ts'
import { mergeTally, type Tally, tallyHistory } from './tally.ts'
import { judgeHistory, validators } from './validators/validators.ts'
import { playPlan } from './world.ts'

type Append = Extract<History['deeds'][number], { type: 'append' }>

/** A quiet history in which everything that validators look at occurs. */
const quietPlan: Plan = {
  seed: 1,
  resources: 'pods',
  abilities: { streamingLists: true, bookmarks: true },
  limits: { batch: 500, backlog: 5000 },
  leastTimeoutSeconds: 60,
  watchers: 1,
  retention: { keepEntries: 100_000 },
  subscribers: [{}, { labelSelector: 'app=web' }],
  steps: [
    { at: 1000, deed: { do: 'pod', name: 'a', phase: 'Pending', app: 'web' } },
    { at: 2000, deed: { do: 'pod', name: 'a', phase: 'Running', app: 'web' } },
    { at: 3000, deed: { do: 'pod', name: 'b', phase: 'Running', app: 'db' } },
    { at: 4000, deed: { do: 'pod', name: 'a', phase: 'Failed', app: 'db' } },
    { at: 5000, deed: { do: 'remove-pod', name: 'a' } },
    { at: 6000, deed: { do: 'pod', name: 'b', phase: 'Succeeded', app: 'web' } },
  ],
}

describe('simulated histories', () => {
  it('are as they must be, 240 of them, with every kind of fault among them', async () => {
    const tally: Tally = new Map()
    for (let seed = 1; seed <= 240; seed++) {
      const history = await playPlan(drawPlan(seed))
      expect(judgeHistory(history), `seed ${seed}`).toEqual([])
      mergeTally(tally, tallyHistory(history))
    }
    const isMissing = (name: string) => (tally.get(name) ?? 0) === 0
    const faults = [...requestFaults, ...watchFaults, 'compacted', 'restore', 'poison', 'log-rewind', 'crash', 'pause']
    expect(faults.filter((name) => isMissing(`fault: ${name}`))).toEqual([])
    expect(['gaps: expired', 'gaps: rewound', 'takeovers', 'resets told', 'new epochs'].filter(isMissing)).toEqual([])
  }, 120_000)

  it('are the same from the same seed, to the last byte and millisecond', async () => {
    for (const seed of [3, 44, 260]) {
      const [first, second] = [await playPlan(drawPlan(seed)), await playPlan(drawPlan(seed))]
      expect(JSON.stringify(second.deeds)).toBe(JSON.stringify(first.deeds))
      expect(JSON.stringify(second.subscribers)).toBe(JSON.stringify(first.subscribers))
      expect(second.lasted).toBe(first.lasted)
    }
  })

  it('that fail are shrunk to what makes them fail', async () => {
    const plan = drawPlan(5)
    const has = (one: Plan, wanted: string) => one.steps.some(({ deed }) => deed.do === wanted)
    const small = await shrinkPlan(plan, async (one) => has(one, 'pod') && has(one, 'remove-pod'))
    expect(small.steps.map(({ deed }) => deed.do).toSorted()).toEqual(['pod', 'remove-pod'])
    expect(small).toMatchObject({ watchers: 1, subscribers: [{}], resources: 'pods' })
  })
})

describe('the validator', () => {
  const appendsOf = (history: History) => history.deeds.filter((deed): deed is Append => deed.type === 'append')
  /** Puts other operations in the place of one append's. */
  const rewrite = (append: Append | undefined, edit: (operation: Operation) => Operation[]) => {
    if (append === undefined) throw new Error('no such append')
    Object.assign(append.batch, { operations: append.batch.operations.flatMap(edit) })
  }
  type Operation = Append['batch']['operations'][number]
  const withEvents = (history: History) =>
    appendsOf(history).filter(({ batch }) => batch.operations.some(({ op }) => op === 'event'))
  const editEvent = (append: Append | undefined, edit: (json: string) => string) =>
    rewrite(append, (operation) => [
      operation.op === 'event' ? { ...operation, json: edit(operation.json) } : operation,
    ])

  /** For each validator a lie that it must notice. */
  const lies: Record<keyof typeof validators, (history: History) => void> = {
    ordered(history) {
      const [first, second] = withEvents(history)
      const [one, two] = [first, second].map((append) => append?.batch.operations)
      Object.assign(first?.batch ?? {}, { operations: two })
      Object.assign(second?.batch ?? {}, { operations: one })
    },
    unique(history) {
      const [first, second] = withEvents(history)
      const copied = first?.batch.operations.find(({ op }) => op === 'event')
      rewrite(second, (operation) => (operation.op === 'event' && copied !== undefined ? [copied] : [operation]))
    },
    reliable(history) {
      rewrite(withEvents(history)[2], (operation) => (operation.op === 'event' ? [] : [operation]))
    },
    atomic(history) {
      rewrite(withEvents(history)[2], (operation) => (operation.op === 'set' ? [] : [operation]))
    },
    resumable(history) {
      history.subscribers[0]?.told.splice(
        history.subscribers[0].told.findIndex(({ type }) => type === 'event'),
        1,
      )
    },
    bookmarkable(history) {
      // The cursor moved with the second append, the change came with the third.
      const [, second, third] = withEvents(history)
      const late = second?.batch.operations ?? []
      Object.assign(second?.batch ?? {}, { operations: [] })
      Object.assign(second ?? {}, { to: (second?.from ?? 0) - 1 })
      Object.assign(third?.batch ?? {}, { operations: [...late, ...(third?.batch.operations ?? [])] })
      Object.assign(third ?? {}, { from: second?.from })
    },
    'filter-correct'(history) {
      const told = history.subscribers[1]?.told.find((one) => one.type === 'event' && one.scope === 'left')
      Object.assign(told ?? {}, { scope: 'in' })
    },
    'previous-state-correct'(history) {
      editEvent(withEvents(history)[1], (json) => json.replace('"from":"Pending"', '"from":"Failed"'))
    },
    'create-delete-correct'(history) {
      editEvent(withEvents(history)[1], (json) => json.replace('k8s.pod.modified', 'k8s.pod.added'))
    },
  }

  it('has nothing to say against a quiet history', async () => {
    expect(judgeHistory(await playPlan(quietPlan))).toEqual([])
  })

  it.each(Object.entries(lies))('%s notices a history that was doctored to break it', async (name, lie) => {
    const history = structuredClone(await playPlan(quietPlan))
    lie(history)
    expect(validators[name as keyof typeof validators](history)).not.toEqual([])
  })

  it('reliable asks for a cause of each gap', async () => {
    const history = structuredClone(await playPlan({ ...quietPlan, steps: [...quietPlan.steps, expiry] }))
    expect(validators.reliable(history)).toEqual([])
    history.exercised.clear()
    expect(validators.reliable(history)).toEqual([expect.stringContaining('gaps are announced as expired')])
  })
  const expiry: Plan['steps'][number] = { at: 6000, deed: { do: 'watch-fault', fault: 'expired-frame', which: 0 } }
})
