import { expect, it } from 'vitest'
import type { Delivery } from '../../../shared/webhook/delivery.ts'
import { type DeliveryJob, jobId } from '../../../shared/webhook/job.ts'
import type { Parcel } from '../../../workers/deliverer/endpoint.ts'
import { drainLine } from '../../../workers/deliverer/line.ts'
import type { JobContext } from '../../../workers/deliverer/process.ts'
import type { Line } from '../../../workers/ledger/work.ts'

const now = 1_000_000
const own: DeliveryJob = { webhook: 'wh', epoch: 'e', group: 'o1', attempt: 1, seqs: [1] }

/** A line whose front waits for its second attempt, and what a job does about it. */
async function come(job: DeliveryJob, due: number) {
  const attempts = [{ at: 0, latencyMs: 1, error: 'reset' as const }]
  const front: Delivery = { state: 'pending', event: 'x', acceptedAt: 0, group: '1', object: 'pods/a/b', attempts, due }
  const lines: Line[] = [
    { type: 'mine', newest: 'e-1', deliveries: [{ id: 'e-1', seq: 1, delivery: front, event: '{"id":"x"}' }] },
    { type: 'empty' },
  ]
  const [retried, attempted]: [string[], string[]] = [[], []]
  const context = {
    deps: {
      now: () => now,
      ledger: { takeLine: async () => lines.shift() ?? { type: 'empty' }, leaveLine: async () => true },
      retry: async (next: DeliveryJob) => void retried.push(jobId(next)),
    },
    job,
    jobName: jobId(job),
    isLatest: false,
    endpoint: {
      isEnabled: true,
      pausedUntil: () => undefined,
      attempt: async ([parcel]: Parcel[]) => {
        attempted.push(parcel?.id ?? '')
        return [{ ...parcel?.delivery, state: 'delivered' as const }]
      },
    },
    lane: { run: <T>(work: () => Promise<T>) => work(), leave: () => undefined },
    settle: async () => true,
  } as unknown as JobContext
  return { aside: await drainLine(context, 'pods/a/b'), retried, attempted }
}

it('leaves a front that is not due to the job that comes for it', async () => {
  expect(await come({ ...own, group: '7', attempt: 0 }, now + 5000)).toEqual({
    aside: undefined,
    retried: [jobId(own)],
    attempted: [],
  })
})

it('has the job that came too early for its front come again, since no other will', async () => {
  expect(await come(own, now + 5000)).toEqual({ aside: now + 5000, retried: [], attempted: [] })
})

it('waits for a front that is about to be due, since its job may be about to find the line taken', async () => {
  expect(await come({ ...own, group: '7', attempt: 0 }, now + 20)).toMatchObject({ retried: [], attempted: ['e-1'] })
})
