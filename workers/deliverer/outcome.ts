import type { Delivery, DeliveryState } from '../../shared/webhook/delivery.ts'
import type { Pause } from '../../shared/webhook/health.ts'
import type { LoadedDelivery } from '../ledger/work.ts'
import { nextPause } from './schedule.ts'
import type { Sent } from './send.ts'

/** What a job has to do about one of its deliveries. */
export type Task =
  | { type: 'send'; event: string }
  /** Comes to an end without an attempt. */
  | { type: 'end'; delivery: Delivery }
  /** This attempt was made before, by a worker that did not live to queue the next one. */
  | { type: 'requeue'; due: number }
  | { type: 'nothing' }

/**
 * Decides what to do about a delivery. The ledger decides, not the job: a job that comes late or twice finds nothing to do.
 * @param attempt how many attempts the job says were made.
 * @param now ms since 1970.
 */
export function decide(loaded: LoadedDelivery, attempt: number, isEnabled: boolean, now: number): Task {
  const { delivery } = loaded
  if (delivery?.state !== 'pending') return { type: 'nothing' }
  const made = delivery.attempts.length
  if (made === attempt + 1) return { type: 'requeue', due: delivery.due ?? now }
  if (made !== attempt) return { type: 'nothing' }
  if (!isEnabled) return { type: 'end', delivery: end(delivery, 'disabled', now) }
  const event = delivery.body ?? loaded.event
  // After a life of the log ended, its numbers may stand for other events.
  if (event === undefined || !event.includes(`"id":${JSON.stringify(delivery.event)}`)) {
    return { type: 'end', delivery: { ...end(delivery, 'dead', now), reason: 'trimmed' } }
  }
  return { type: 'send', event }
}

/** Answers that say more about the endpoint than about the event. */
export const throttling: readonly number[] = [429, 502, 503, 504]
const longestPause = 3_600_000

/** What an attempt makes of a delivery. */
export interface Outcome {
  delivery: Delivery
  /** The endpoint said 410: it wants nothing more. */
  isGone: boolean
}

/**
 * Applies the rules for answers: 2xx is the end, 410 disables the endpoint, all else is repeated by the schedule.
 * @param now ms since 1970, after the attempt.
 * @param random from [0, 1).
 */
export function conclude(
  delivery: Delivery,
  { attempt, retryAfter }: Sent,
  now: number,
  random: number,
  schedule: readonly number[],
): Outcome {
  const attempts = [...delivery.attempts, attempt]
  if (attempt.error === undefined) return { delivery: end({ ...delivery, attempts }, 'delivered', now), isGone: false }
  if (attempt.status === 410) return { delivery: end({ ...delivery, attempts }, 'disabled', now), isGone: true }
  const pause = nextPause(attempts.length, random, retryAfter, schedule)
  if (pause === undefined) {
    return { delivery: { ...end({ ...delivery, attempts }, 'dead', now), reason: 'exhausted' }, isGone: false }
  }
  return { delivery: { ...delivery, attempts, due: now + pause }, isGone: false }
}

/** For how long an answer asks to leave the whole endpoint alone. */
export function pauseAfter({ attempt: { status }, retryAfter }: Sent): Pause {
  if (status === undefined || !throttling.includes(status)) return 0
  return retryAfter === undefined || retryAfter === 0 ? 'auto' : Math.min(retryAfter, longestPause)
}

/** Brings a delivery to its end. */
export function end(delivery: Delivery, state: DeliveryState, now: number): Delivery {
  const { due: _, ...rest } = delivery
  return { ...rest, state, endedAt: now }
}
