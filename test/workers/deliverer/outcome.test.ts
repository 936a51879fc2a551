import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AttemptError, attemptErrors, type Delivery } from '../../../shared/webhook/delivery.ts'
import { conclude, decide } from '../../../workers/deliverer/outcome.ts'
import { defaultSchedule } from '../../../workers/deliverer/schedule.ts'

const pending: Delivery = { state: 'pending', event: 'c/u/1', acceptedAt: 0, group: '1', attempts: [] }
const event = '{"id":"c/u/1","data":{}}'
const failed = (error: AttemptError, status?: number) => ({
  attempt: { at: 0, latencyMs: 1, error, ...(status === undefined ? {} : { status }) },
})
const tried = { ...pending, attempts: [failed('reset').attempt], due: 5000 }
const load = (delivery: Delivery | undefined, json: string | undefined = event) => ({
  id: 'e-1',
  seq: 1,
  delivery,
  event: json,
})

describe('what a job does about a delivery', () => {
  it.each([
    ['sends what is pending', load(pending), 0, true, { type: 'send', event }],
    ['leaves what is no longer kept', load(undefined), 0, true, { type: 'nothing' }],
    ['leaves what has come to its end', load({ ...pending, state: 'delivered' }), 0, true, { type: 'nothing' }],
    ['queues again what was attempted by a worker that died', load(tried), 0, true, { type: 'requeue', due: 5000 }],
    [
      'leaves what is further on',
      load({ ...tried, attempts: [...tried.attempts, ...tried.attempts] }),
      0,
      true,
      { type: 'nothing' },
    ],
    ['leaves what an earlier job has still to do', load(pending), 1, true, { type: 'nothing' }],
    [
      'ends what waited for a disabled endpoint',
      load(pending),
      0,
      false,
      { type: 'end', delivery: { ...pending, state: 'disabled', endedAt: 7 } },
    ],
    [
      'ends what the log no longer has',
      { ...load(pending), event: undefined },
      0,
      true,
      { type: 'end', delivery: { ...pending, state: 'dead', reason: 'trimmed', endedAt: 7 } },
    ],
    [
      'never sends another event under the same number',
      load(pending, '{"id":"c/u/12"}'),
      0,
      true,
      { type: 'end', delivery: { ...pending, state: 'dead', reason: 'trimmed', endedAt: 7 } },
    ],
  ])('%s', (_, loaded, attempt, isEnabled, expected) => {
    expect(decide(loaded, attempt, isEnabled, 7)).toEqual(expected)
  })
})

describe('what an attempt makes of a delivery', () => {
  it('is the end for 2xx and for 410, and a retry for all else', () => {
    const delivered = conclude(tried, { attempt: { at: 0, latencyMs: 1, status: 200 } }, 9, 0, defaultSchedule)
    expect(delivered).toMatchObject({ isGone: false, delivery: { state: 'delivered', endedAt: 9 } })
    expect(delivered.delivery).not.toHaveProperty('due')
    const gone = conclude(pending, failed('status', 410), 9, 0, defaultSchedule)
    expect(gone).toMatchObject({ isGone: true, delivery: { state: 'disabled' } })
    for (const error of attemptErrors) {
      const { delivery, isGone } = conclude(pending, failed(error, 500), 9, 0, defaultSchedule)
      expect(delivery).toMatchObject({ state: 'pending', due: 5009 })
      expect(isGone).toBe(false)
    }
  })

  it('takes the whole schedule, on a clock of its own, to be dead', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 20, maxLength: 20 }),
        (randoms) => {
          let [delivery, clock, made] = [pending, 0, 0]
          while (delivery.state === 'pending') {
            clock = Math.max(clock, delivery.due ?? 0)
            delivery = conclude(delivery, failed('connect'), clock, randoms[made++] ?? 0, defaultSchedule).delivery
          }
          expect(delivery).toMatchObject({ state: 'dead', reason: 'exhausted', endedAt: clock })
          expect(delivery.attempts).toHaveLength(11)
          expect(clock).toBeGreaterThanOrEqual(75 * 3_600_000)
        },
      ),
    )
  })
})
