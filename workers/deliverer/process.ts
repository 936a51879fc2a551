import type { Delivery } from '../../shared/webhook/delivery.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import type { LedgerWork, LoadedDelivery, LoadedJob, Settlement } from '../ledger/work.ts'
import { createEndpoint, type Endpoint, type EndpointDeps, type Parcel } from './endpoint.ts'
import { groupBySize } from './group.ts'
import type { Lane } from './lanes.ts'
import { drainLine } from './line.ts'
import { decide } from './outcome.ts'
import type { Recipient } from './recipient.ts'

export interface ProcessDeps extends EndpointDeps {
  ledger: Pick<LedgerWork, 'takeLine' | 'leaveLine'>
  load(job: DeliveryJob): Promise<LoadedJob>
  /** Records these together or not at all. True for each that was still as it was read. */
  settle(settlements: readonly Settlement[]): Promise<boolean[]>
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

/** What an attempt, or the lack of one, makes of a delivery. */
interface Step {
  loaded: LoadedDelivery
  before: Delivery
  after: Delivery
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
  const settle: JobContext['settle'] = async ({ id, seq }, before, after) => {
    const [isOurs = false] = await deps.settle([{ webhook: job.webhook, id, seq, before, after }])
    return isOurs
  }
  const isLatest = recipient.webhook.ordering === 'latest'
  const context: JobContext = { deps, job, jobName, isLatest, endpoint, lane, settle }

  const due = new Map<number, number>()
  let aside: number | undefined
  const attempt = async (group: readonly LoadedDelivery[]): Promise<Step[]> => {
    const steps: Step[] = []
    const parcels: Parcel[] = []
    const sent: LoadedDelivery[] = []
    for (const loaded of group) {
      const { id, seq, delivery } = loaded
      const task = decide(loaded, job.attempt, endpoint.isEnabled, now())
      if (delivery === undefined || task.type === 'nothing') continue
      if (task.type === 'end') steps.push({ loaded, before: delivery, after: task.delivery })
      else if (task.type === 'requeue') due.set(seq, task.due)
      else sent[parcels.push({ id, delivery, event: task.event }) - 1] = loaded
    }
    if (parcels.length === 0) return steps
    const paused = endpoint.pausedUntil()
    if (paused !== undefined) {
      aside = paused
      return steps
    }
    for (const [n, after] of (await endpoint.attempt(parcels)).entries()) {
      const [loaded, before] = [sent[n], parcels[n]?.delivery]
      if (loaded !== undefined && before !== undefined) steps.push({ loaded, before, after })
    }
    return steps
  }
  const record = async (steps: readonly Step[]) => {
    if (steps.length === 0) return
    const settlements = steps.map(({ loaded: { id, seq }, before, after }) => {
      return { webhook: job.webhook, id, seq, before, after }
    })
    const areOurs = await deps.settle(settlements)
    for (const [n, { loaded, after }] of steps.entries()) {
      if (areOurs[n] && after.state === 'pending') due.set(loaded.seq, after.due ?? now())
    }
  }

  const objects = new Set<string>()
  const loose: LoadedDelivery[] = []
  for (const loaded of deliveries) {
    const object = loaded.delivery?.object
    if (object === undefined) loose.push(loaded)
    else objects.add(object)
  }
  const groups = recipient.webhook.content === 'batch' ? groupBySize(loose) : loose.map((loaded) => [loaded])
  const work: Promise<unknown>[] = groups.map((group) => lane.run(() => attempt(group), record))
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
    // In their own order, so that a batch is made of the same events again.
    const next = { ...job, attempt: job.attempt + 1, seqs: [...due.keys()].sort((a, b) => a - b) }
    await deps.retry(next, Math.max(0, Math.max(...due.values()) - now()))
  }
  return undefined
}
