import type { Delivery } from '../../shared/webhook/delivery.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import type { LedgerWork, LoadedDelivery, LoadedJob, Settlement } from '../../shared/webhook/ledger-work.ts'
import { createEndpoint, type Endpoint, type EndpointDeps } from './endpoint.ts'
import type { Lane } from './lanes.ts'
import { drainLine } from './line.ts'
import { decide } from './outcome.ts'
import type { Recipient } from './recipient.ts'

export interface ProcessDeps extends EndpointDeps {
  ledger: Pick<LedgerWork, 'takeLine' | 'leaveLine'>
  load(job: DeliveryJob): Promise<LoadedJob>
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
 * @throws when an outcome could not be recorded, or a stop ended a request.
 */
export async function processJob(
  deps: ProcessDeps,
  job: DeliveryJob,
  jobName: string,
  lane: Lane,
): Promise<number | undefined> {
  const { now } = deps
  const { webhook, health, deliveries } = await deps.load(job)
  if (webhook === undefined) return undefined
  deps.health.learn(job.webhook, health)
  const recipient = await deps.recipientOf(job.webhook, webhook)
  const endpoint = createEndpoint(deps, recipient)
  const settle: JobContext['settle'] = ({ id, seq }, before, after) =>
    deps.settle({ webhook: job.webhook, id, seq, before, after })
  const isLatest = recipient.webhook.ordering === 'latest'
  const context: JobContext = { deps, job, jobName, isLatest, endpoint, lane, settle }

  const due = new Map<number, number>()
  let aside: number | undefined
  const attempt = async (loaded: LoadedDelivery): Promise<Delivery | undefined> => {
    const { id, seq, delivery } = loaded
    const task = decide(loaded, job.attempt, endpoint.isEnabled, now())
    if (delivery === undefined || task.type === 'nothing') return undefined
    if (task.type === 'end') return task.delivery
    if (task.type === 'requeue') {
      due.set(seq, task.due)
      return undefined
    }
    const paused = endpoint.pausedUntil()
    if (paused === undefined) return await endpoint.attempt(id, delivery, task.event)
    aside = paused
    return undefined
  }
  const record = async (loaded: LoadedDelivery, after: Delivery | undefined) => {
    const { seq, delivery } = loaded
    if (delivery === undefined || after === undefined) return
    const isOurs = await settle(loaded, delivery, after)
    if (isOurs && after.state === 'pending') due.set(seq, after.due ?? now())
  }

  const objects = new Set<string>()
  const work: Promise<unknown>[] = []
  for (const loaded of deliveries) {
    const object = loaded.delivery?.object
    if (object === undefined) {
      work.push(
        lane.run(
          () => attempt(loaded),
          (after) => record(loaded, after),
        ),
      )
    } else objects.add(object)
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
