import type { EndedTerm, LeaseData, OpenTerm } from '../shared/lease.ts'

/** A Lease as it is answered: with what follows from the present time. */
export interface LeaseView extends LeaseData {
  /** When the present holder's term began. */
  since?: string
  /** RFC 3339; absent for a Lease without a holder or a duration. */
  expires?: string
}

/**
 * Adds when a Lease expires, from the last renewal that the relay saw: the holder's own clock may be wrong. A Lease may have
 * expired before the watcher's timer says so, for example while no watcher runs.
 * @param now ms since 1970.
 */
export function viewLease(lease: LeaseData, now: number): LeaseView {
  const since = lease.term === undefined ? {} : { since: lease.term.from }
  if (lease.holder === null || lease.durationSeconds === undefined || lease.renewed === undefined) {
    return { ...lease, ...since }
  }
  const expires = Date.parse(lease.renewed) + lease.durationSeconds * 1000
  return {
    ...lease,
    ...since,
    expires: new Date(expires).toISOString(),
    expired: lease.expired || expires < now,
  }
}

/** The terms of a Lease, newest first, that overlap a span of time (ms since 1970). */
export function selectTerms(
  present: OpenTerm | undefined,
  ended: readonly EndedTerm[],
  span: { since?: number; until?: number; limit: number },
): (OpenTerm | EndedTerm)[] {
  const { since = Number.NEGATIVE_INFINITY, until = Number.POSITIVE_INFINITY, limit } = span
  const terms = present === undefined ? ended : [present, ...ended]
  return terms
    .filter((term) => Date.parse(term.from) <= until && (!('to' in term) || Date.parse(term.to) >= since))
    .slice(0, limit)
}
