import { setTimeout as sleep } from 'node:timers/promises'
import { parsePosition } from '../../shared/position.ts'
import { type DeliveryJob, jobId } from '../../shared/webhook/job.ts'
import type { LoadedDelivery } from '../ledger/work.ts'
import { decide, end } from './outcome.ts'
import type { JobContext } from './process.ts'

/** How long a line stays a dead job's own, in ms; the same job may go on at once. Longer than one attempt. */
const lease = 60_000
/** How much of a line is read at a time. */
const reach = 16

/**
 * How long a line is kept while its front is not due, in ms. The job that comes for it may be early, or on its way to find
 * the line taken: were the front left to it then, nobody would come any more.
 */
const longestWait = 1000

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
    const wait = (delivery.due ?? 0) - now()
    if (wait > longestWait) return await leaveUntil(context, loaded, delivery.attempts.length, now() + wait)
    if (wait > 0) await sleep(wait)
    const paused = endpoint.pausedUntil()
    if (paused !== undefined) return paused
    const parcel = { id, delivery, event: task.event }
    const [after = delivery] = await lane.run(() => endpoint.attempt([parcel]))
    const isOurs = await settle(loaded, delivery, after)
    if (!isOurs) return 'more'
    if (after.state === 'pending') {
      return await leaveUntil(context, loaded, after.attempts.length, after.due ?? now())
    }
  }
  return 'more'
}

/** Sees to it that a job comes for the front of a line when it is due: another one, or this one if it is that. */
async function leaveUntil(
  context: JobContext,
  { id, seq }: LoadedDelivery,
  attempt: number,
  due: number,
): Promise<Next> {
  const { deps, job, jobName } = context
  const { epoch } = parsePosition(id)
  const next: DeliveryJob = { webhook: job.webhook, epoch, group: `o${seq.toString(36)}`, attempt, seqs: [seq] }
  if (jobId(next) === jobName) return due
  await deps.retry(next, Math.max(0, due - deps.now()))
  return 'leave'
}
