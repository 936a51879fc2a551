import { type Delivery, deliveryHeader } from '../../shared/webhook/delivery.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import type { Ledger, LoadedDelivery, Settlement } from '../../shared/webhook/ledger.ts'
import { createEndpoint, type Endpoint, type EndpointDeps } from './endpoint.ts'
import type { Lane } from './lanes.ts'
import { drainLine } from './line.ts'
import { decide } from './outcome.ts'
import type { Recipient } from './recipient.ts'

export interface ProcessDeps extends EndpointDeps {
  ledger: Pick<Ledger, 'load' | 'takeLine' | 'leaveLine'>
  settle(settlement: Settlement): Promise<boolean>
  recipientOf(id: string, text: string): Promise<Recipient>
  /** Queues a job, due in `delay` ms. */
  retry(job: DeliveryJob, delay: number): Promise<void>
}

/** What one job is worked on with. */
export interface JobContext {
  deps: ProcessDeps
  job: DeliveryJob
  /** The job's name in the queue, the same each time that it is run. */
  jobName: string
  isLatest: boolean
  endpoint: Endpoint
  lane: Lane
  /** Records what became of a delivery. False: somebody else was faster. */
  settle(loaded: LoadedDelivery, before: Delivery, after: Delivery): Promise<boolean>
}

/**
 * Works through one job: attempts each of its deliveries and records each outcome, then queues one job for all that have to
 * be repeated. May be run again at any time, after it was cut off at any point.
 * @returns until when to put the job aside (ms since 1970), since its endpoint wants to be left alone; undefined: it is done.
 * @throws when an outcome could not be recorded, or the signal ended a request.
 */
export async function processJob(
  deps: ProcessDeps,
  job: DeliveryJob,
  jobName: string,
  lane: Lane,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { now } = deps
  const { webhook, health, deliveries } = await deps.ledger.load(job)
  if (webhook === undefined) return undefined
  deps.health.learn(job.webhook, health)
  const recipient = await deps.recipientOf(job.webhook, webhook)
  const endpoint = createEndpoint(deps, recipient, signal)
  const settle: JobContext['settle'] = ({ id, seq }, before, after) =>
    deps.settle({ webhook: job.webhook, id, seq, header: deliveryHeader(before), delivery: after })
  const isLatest = recipient.webhook.ordering === 'latest'
  const context: JobContext = { deps, job, jobName, isLatest, endpoint, lane, settle }

  const due = new Map<number, number>()
  let aside: number | undefined
  const deliver = async (loaded: LoadedDelivery) => {
    const { id, seq, delivery } = loaded
    const task = decide(loaded, job.attempt, endpoint.isEnabled, now())
    if (delivery === undefined || task.type === 'nothing') return
    if (task.type === 'requeue') {
      due.set(seq, task.due)
      return
    }
    if (task.type === 'end') {
      await settle(loaded, delivery, task.delivery)
      return
    }
    const paused = endpoint.pausedUntil()
    if (paused !== undefined) {
      aside = paused
      return
    }
    const after = await endpoint.attempt(id, delivery, task.event)
    const isOurs = await settle(loaded, delivery, after)
    if (isOurs && after.state === 'pending') due.set(seq, after.due ?? now())
  }

  const objects = new Set<string>()
  const work: Promise<void>[] = []
  for (const loaded of deliveries) {
    const object = loaded.delivery?.object
    if (object === undefined) work.push(lane.run(() => deliver(loaded)))
    else objects.add(object)
  }
  for (const object of objects) {
    const drained = drainLine(context, object).then((until) => {
      aside = until ?? aside
    })
    work.push(drained)
  }
  const results = await Promise.allSettled(work)
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  // What has to be repeated waits for the rest of the job: a job of theirs would stand in the way of one for all.
  if (aside !== undefined) return aside
  if (due.size > 0) {
    const next = { ...job, attempt: job.attempt + 1, seqs: [...due.keys()] }
    await deps.retry(next, Math.max(0, Math.max(...due.values()) - now()))
  }
  return undefined
}
