import type { ListedDelivery } from '../../shared/webhook/ledger.ts'
import type { Loss } from '../../shared/webhook/loss.ts'
import type { Reach } from '../../shared/webhook/reach.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import { toTime } from './view.ts'

/**
 * What became of an event at a webhook: the state of its delivery, or why there is none. `filtered`: a clause stops it;
 * `before-start`: the webhook begins after it; `in-state`: the state that was told includes it; `turned-off`: the webhook is;
 * `not-yet`: the dispatcher has not come to it; `changed`: the webhook was turned on, or its filter changed, after it;
 * `forgotten`: its record made room for newer ones; `trimmed`: the log has dropped it; `missed`: none of these.
 */
export const verdicts = [
  'delivered',
  'pending',
  'dead',
  'disabled',
  'skipped',
  'superseded',
  'filtered',
  'before-start',
  'in-state',
  'turned-off',
  'not-yet',
  'changed',
  'forgotten',
  'trimmed',
  'missed',
] as const

interface Judged {
  verdict: (typeof verdicts)[number]
  /** For people. */
  detail: string
}

/**
 * Judges by what was accepted: one that was delivered counts more than one that still may be, and that more than an end.
 * @param deliveries newest first.
 * @param now ms since 1970.
 */
export function judgeDeliveries(
  deliveries: readonly ListedDelivery[],
  { enabled, batchSeconds = 0 }: Pick<Webhook, 'enabled' | 'batchSeconds'>,
  now: number,
): Judged | undefined {
  const best =
    deliveries.find(({ state }) => state === 'delivered') ??
    deliveries.find(({ state }) => state === 'pending') ??
    deliveries[0]
  if (best === undefined) return undefined
  const { state, reason, attempts, due, endedAt = now, object } = best
  const tried = attempts.length === 1 ? '1 attempt' : `${attempts.length} attempts`
  const failure = attempts.at(-1)?.detail ?? 'no attempt was made'
  const at = toTime(endedAt)
  switch (state) {
    case 'delivered':
      return { verdict: state, detail: `Delivered at ${at}, with ${tried}.` }
    case 'pending': {
      if (!enabled) return { verdict: state, detail: 'The webhook was turned off; it ends in a moment.' }
      if (due !== undefined && due > now) {
        return { verdict: state, detail: `The next attempt is at ${toTime(due)}, after ${tried}: ${failure}.` }
      }
      if (batchSeconds > 0 && attempts.length === 0) {
        return { verdict: state, detail: `It waits for its batch, for ${batchSeconds} s at most.` }
      }
      const line = object === undefined ? '' : `, unless it waits for what came before it about ${object}`
      return { verdict: state, detail: `It is to be attempted at once${line}.` }
    }
    case 'dead':
      return reason === 'trimmed'
        ? {
            verdict: state,
            detail: `The log dropped the event before it could be sent, after ${tried}; ended at ${at}.`,
          }
        : { verdict: state, detail: `Given up at ${at} after ${tried}: ${failure}.` }
    case 'disabled':
      return { verdict: state, detail: `The webhook was turned off; it ended at ${at}, after ${tried}.` }
    case 'skipped':
      return { verdict: state, detail: `The webhook was removed at ${at}.` }
    case 'superseded':
      return { verdict: state, detail: `A newer state of ${object ?? 'the object'} took its place at ${at}.` }
  }
}

/** Judges an event that is in the log no more, and of which there is no delivery. */
export function judgeTrimmed(loss: Loss | undefined, seq: number): Judged {
  const isLost = loss !== undefined && seq > loss.from && seq <= loss.to
  const detail = isLost
    ? `The log may have dropped it before the webhook came to it, which lost ${loss.events} events; the last at ${toTime(loss.latest)}.`
    : 'The log no longer holds it, nor a record of its delivery.'
  return { verdict: 'trimmed', detail }
}

/** Judges an event of which there is no delivery. */
export function judgeEvent(
  { enabled, disabledReason, disabledAt }: Pick<Webhook, 'enabled' | 'disabledReason' | 'disabledAt'>,
  { start, reached, changed, floor, until, isTelling }: Reach,
  seq: number,
  passes: boolean,
): Judged {
  if (!passes) return { verdict: 'filtered', detail: 'It does not pass the filter; `clauses` says which one stops it.' }
  if (seq <= start) return { verdict: 'before-start', detail: 'It is older than where the webhook starts.' }
  if (!enabled) {
    const why = disabledReason === undefined ? '' : ` (${disabledReason}, since ${disabledAt})`
    return { verdict: 'turned-off', detail: `The webhook is turned off${why}.` }
  }
  if (isTelling)
    return { verdict: 'not-yet', detail: 'The current objects are still being told; events come after them.' }
  if (seq > reached)
    return { verdict: 'not-yet', detail: 'The dispatcher has not come to it yet; is `relay deliver` running?' }
  if (seq <= until)
    return { verdict: 'in-state', detail: 'The current objects that were told at the start include it.' }
  if (seq <= changed)
    return { verdict: 'changed', detail: 'The webhook was turned on, or its filter changed, after it.' }
  if (seq <= floor) return { verdict: 'forgotten', detail: 'It was accepted, and its record made room for newer ones.' }
  return { verdict: 'missed', detail: 'It passes the filter and was not accepted; `replay` sends it.' }
}
