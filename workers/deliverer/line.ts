import { parseCursor } from '../../shared/cursor.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import type { LoadedDelivery } from '../../shared/webhook/ledger.ts'
import { decide, end } from './outcome.ts'
import type { JobContext } from './process.ts'

/** How long a line stays a dead job's own, in ms; the same job may go on at once. Longer than one attempt. */
const lease = 60_000
/** How much of a line is read at a time. */
const reach = 16

/** Go on with what is next in line, leave the line, or leave it until the endpoint may be spoken to again. */
type Next = 'more' | 'leave' | number

/**
 * Works through the line of one object, one delivery after the other, until it is empty or its front has to wait. Whatever
 * joins the line meanwhile is worked on as well.
 * @returns until when to put the job aside, ms since 1970; undefined: there is nothing left that it could do.
 */
export async function drainLine(context: JobContext, object: string): Promise<number | undefined> {
  const { ledger } = context.deps
  const { webhook } = context.job
  for (;;) {
    const line = await ledger.takeLine(webhook, object, context.jobName, { lease, limit: reach })
    if (line.type !== 'mine') return undefined
    const next = await workOn(context, line.deliveries, line.newest)
    if (next === 'more') continue
    const isLeft = await ledger.leaveLine(webhook, object, context.jobName)
    if (typeof next === 'number') return next
    if (isLeft) return undefined
  }
}

async function workOn(context: JobContext, line: readonly LoadedDelivery[], newest: string): Promise<Next> {
  const { deps, endpoint, settle, lane, isLatest } = context
  const { now } = deps
  for (const loaded of line) {
    const { id, delivery } = loaded
    if (delivery === undefined) continue
    if (isLatest && id !== newest) {
      await settle(loaded, delivery, end(delivery, 'superseded', now()))
      continue
    }
    const task = decide(loaded, delivery.attempts.length, endpoint.isEnabled, now())
    if (task.type === 'end') {
      await settle(loaded, delivery, task.delivery)
      continue
    }
    if (task.type !== 'send') continue
    if (delivery.due !== undefined && delivery.due > now()) {
      await repeat(context, loaded, delivery.attempts.length, delivery.due)
      return 'leave'
    }
    const paused = endpoint.pausedUntil()
    if (paused !== undefined) return paused
    const after = await lane.run(() => endpoint.attempt(id, delivery, task.event))
    const isOurs = await settle(loaded, delivery, after)
    if (!isOurs) return 'more'
    if (after.state === 'pending') {
      await repeat(context, loaded, after.attempts.length, after.due ?? now())
      return 'leave'
    }
  }
  return 'more'
}

/** Queues a job for the front of a line, which nobody else will look at before it is due; harmless where there is one. */
async function repeat({ deps, job }: JobContext, { id, seq }: LoadedDelivery, attempt: number, due: number) {
  const { epoch } = parseCursor(id)
  const next: DeliveryJob = { webhook: job.webhook, epoch, group: `o${seq.toString(36)}`, attempt, seqs: [seq] }
  await deps.retry(next, Math.max(0, due - deps.now()))
}
