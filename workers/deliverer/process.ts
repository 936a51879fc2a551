import { completeEvent } from '../../shared/event.ts'
import { type Delivery, deliveryHeader } from '../../shared/webhook/delivery.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import type { Ledger, LoadedDelivery, Settlement } from '../../shared/webhook/ledger.ts'
import { toMessageId } from '../../shared/webhook/message-id.ts'
import type { Lane } from './lanes.ts'
import { conclude, decide } from './outcome.ts'
import type { Recipient } from './recipient.ts'
import type { Sender, Sent } from './send.ts'
import { signMessage } from './signature.ts'

export interface ProcessDeps {
  ledger: Pick<Ledger, 'load'>
  settle(settlement: Settlement): Promise<boolean>
  recipientOf(id: string, text: string): Promise<Recipient>
  sender: Pick<Sender, 'send'>
  /** Turns an endpoint off that answered 410. */
  disable(webhook: string): Promise<void>
  /** Queues a job, due in `delay` ms. */
  retry(job: DeliveryJob, delay: number): Promise<void>
  userAgent: string
  schedule: readonly number[]
  /** From [0, 1). */
  random(): number
  /** ms since 1970. */
  now(): number
}

/**
 * Works through one job: attempts each of its deliveries and records each outcome, then queues one job for all that have to
 * be repeated. May be run again at any time, after it was cut off at any point.
 * @throws when an outcome could not be recorded, or the signal ended a request.
 */
export async function processJob(deps: ProcessDeps, job: DeliveryJob, lane: Lane, signal: AbortSignal): Promise<void> {
  const { now } = deps
  const { webhook, deliveries } = await deps.ledger.load(job)
  if (webhook === undefined) return
  const recipient = await deps.recipientOf(job.webhook, webhook)
  // One number for the whole job keeps those that failed together in one job.
  const random = deps.random()
  const due = new Map<number, number>()
  let isEnabled = recipient.isEnabled

  const settle = async (loaded: LoadedDelivery, before: Delivery, after: Delivery) => {
    const { id, seq } = loaded
    const header = deliveryHeader(before)
    const isOurs = await deps.settle({ webhook: job.webhook, id, seq, header, delivery: after })
    if (isOurs && after.state === 'pending') due.set(seq, after.due ?? now())
  }
  const deliver = async (loaded: LoadedDelivery) => {
    const { id, seq, delivery } = loaded
    const task = decide(loaded, job.attempt, isEnabled, now())
    if (delivery === undefined || task.type === 'nothing') return
    if (task.type === 'requeue') {
      due.set(seq, task.due)
    } else if (task.type === 'end') {
      await settle(loaded, delivery, task.delivery)
    } else {
      const sent = await attempt(deps, recipient, delivery, completeEvent(task.event, id, delivery.scope), signal)
      const outcome = conclude(delivery, sent, now(), random, deps.schedule)
      if (outcome.isGone && isEnabled) {
        isEnabled = false
        await deps.disable(job.webhook)
      }
      await settle(loaded, delivery, outcome.delivery)
    }
  }

  const results = await Promise.allSettled(deliveries.map((loaded) => lane.run(() => deliver(loaded))))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
  if (due.size > 0) {
    const next = { ...job, attempt: job.attempt + 1, seqs: [...due.keys()] }
    await deps.retry(next, Math.max(0, Math.max(...due.values()) - now()))
  }
}

async function attempt(
  deps: ProcessDeps,
  { target }: Recipient,
  delivery: Delivery,
  body: string,
  signal: AbortSignal,
): Promise<Sent> {
  const at = deps.now()
  if ('error' in target) return { attempt: { at, latencyMs: 0, ...target } }
  const id = toMessageId(delivery.event)
  const timestamp = Math.floor(at / 1000)
  const keys = target.keys.filter(({ until }) => until > at).map(({ bytes }) => bytes)
  const headers = {
    'content-type': 'application/cloudevents+json',
    'user-agent': deps.userAgent,
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signMessage(keys, id, timestamp, body),
  }
  return deps.sender.send({ url: target.url, headers, body }, signal)
}
