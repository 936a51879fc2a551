import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileFilter } from '../../../shared/filter/filter.ts'
import { matchEntries, type Subscriber } from '../../../workers/dispatcher/match.ts'
import { followingOf, placeIn } from '../../../workers/dispatcher/place.ts'
import { groupIntoJobs } from '../../../workers/dispatcher/sweep.ts'
import { podEvent } from '../deliverer/stage.ts'

const bounds = { epoch: 'e', first: 11, last: 20, past: [] }

describe('matching', () => {
  const subscriber = (id: string, start: number, phase?: string): Subscriber => ({
    id,
    matches: compileFilter(phase === undefined ? {} : { phase: [phase] }),
    start: { epoch: 'e', seq: start },
  })

  it('plans each matching pair once, in order, whatever the limit cuts it into', () => {
    const phases = fc.array(fc.constantFrom('Running', 'Failed'), { maxLength: 200 })
    fc.assert(
      fc.property(phases, fc.integer({ min: 1, max: 300 }), fc.nat(200), (list, limit, start) => {
        const entries = list.map((phase, n) => ({ seq: n + 1, json: JSON.stringify(podEvent(`p${n}`, phase)) }))
        const subscribers = [subscriber('all', 0), subscriber('failed', start, 'Failed')]
        const seen = { all: [] as number[], failed: [] as number[] }
        let rest = entries
        while (rest.length > 0) {
          const { jobs, last } = matchEntries('e', rest, subscribers, limit, 0)
          expect(last).toBeGreaterThanOrEqual(rest[0]?.seq ?? 0)
          for (const { job, deliveries } of jobs) {
            expect(deliveries.map(({ seq }) => seq)).toEqual(job.seqs)
            expect(job.seqs.length).toBeLessThanOrEqual(64)
            expect(job.group).toBe(job.seqs[0]?.toString(36))
            seen[job.webhook as 'all' | 'failed'].push(...job.seqs)
          }
          rest = rest.filter(({ seq }) => seq > last)
        }
        expect(seen.all).toEqual(entries.map(({ seq }) => seq))
        expect(seen.failed).toEqual(list.flatMap((phase, n) => (phase === 'Failed' && n + 1 > start ? [n + 1] : [])))
      }),
      { numRuns: 50 },
    )
  })
})

describe('finding the place', () => {
  it.each([
    ['where it was', { epoch: 'e', seq: 15 }, { epoch: 'e', seq: 15 }, 0],
    ['at the very beginning of what is kept', { epoch: 'e', seq: 10 }, { epoch: 'e', seq: 10 }, 0],
    ['at the same number in a new life', { epoch: 'old', seq: 15 }, { epoch: 'e', seq: 15 }, 0],
    ['at the oldest when retention overtook it', { epoch: 'e', seq: 3 }, { epoch: 'e', seq: 10 }, 7],
    ['at the oldest when the log is another one', { epoch: 'old', seq: 99 }, { epoch: 'e', seq: 10 }, 0],
  ])('%s', (_, stored, position, lost) => {
    expect(placeIn(bounds, stored)).toEqual({ position, lost })
  })

  it.each([
    ['what was live stays so', 'live', 12, 'live'],
    ['a start at the head is live', undefined, 18, 'live'],
    ['a start ahead of the dispatcher is live', undefined, 20, 'live'],
    ['an older start catches up', undefined, 12, { epoch: 'e', seq: 12 }],
    ['a start that is no longer kept catches up from the oldest', undefined, 2, { epoch: 'e', seq: 10 }],
    ['an interrupted catching-up goes on', 'e-e', 12, { epoch: 'e', seq: 14 }],
    ['a finished catching-up is live', 'e-i', 12, 'live'],
  ])('%s', (_, stored, start, expected) => {
    expect(followingOf(stored, { epoch: 'e', seq: start }, { epoch: 'e', seq: 18 }, bounds)).toEqual(expected)
  })

  it('takes a start from a life that ended for one before it ended', () => {
    expect(followingOf(undefined, { epoch: 'old', seq: 99 }, { epoch: 'e', seq: 20 }, bounds)).toBe('live')
  })
})

it('puts overdue deliveries back into the jobs that they came with', () => {
  const delivery = (group: string, attempts: number) => ({
    state: 'pending' as const,
    event: 'x',
    acceptedAt: 0,
    group,
    attempts: Array.from({ length: attempts }, () => ({ at: 0, latencyMs: 0 })),
  })
  const jobs = groupIntoJobs('wh', [
    { id: 'e-1', delivery: delivery('1', 0) },
    { id: 'e-2', delivery: delivery('1', 2) },
    { id: 'e-3', delivery: delivery('1', 0) },
  ])
  expect(jobs).toEqual([
    { webhook: 'wh', epoch: 'e', group: '1', attempt: 0, seqs: [1, 3] },
    { webhook: 'wh', epoch: 'e', group: '1', attempt: 2, seqs: [2] },
  ])
})
