import { type EndedTerm, type LeaseData, lifetimeOf, type OpenTerm } from '../shared/lease.ts'

/** A Lease as it is answered. */
export interface LeaseView extends LeaseData {
  /** When the present holder's term began. */
  since?: string
  /** RFC 3339; absent for a Lease without a holder or a usable duration. */
  expires?: string
}

/**
 * Adds when a Lease expires, from the last renewal that the relay saw: the holder's own clock may be wrong. Whether it did
 * is for the watcher to say: a Lease whose time passed while nobody watched may have been renewed all the same.
 */
export function viewLease(lease: LeaseData): LeaseView {
  const lifetime = lifetimeOf(lease)
  const view: LeaseView = { ...lease }
  if (lease.term !== undefined) view.since = lease.term.from
  if (lifetime !== undefined && lease.renewed !== undefined) {
    view.expires = new Date(Date.parse(lease.renewed) + lifetime).toISOString()
  }
  return view
}

/** A span of time in ms since 1970. */
export interface Span {
  since: number
  until: number
}

/** The terms of a Lease, newest first, that overlap a span. */
export function selectTerms<Term extends OpenTerm | EndedTerm>(terms: readonly Term[], { since, until }: Span): Term[] {
  return terms.filter((term) => Date.parse(term.from) <= until && endOf(term) >= since)
}

/** What the terms of a Lease amount to, within a span. */
export interface TermSummary {
  terms: number
  /** Different identities among them. */
  holders: number
  /** Terms that were over in less than a minute. */
  flaps: number
  leaderlessSeconds: number
  longestTerm?: { holder: string; from: string; to?: string; seconds: number }
}

const flapMs = 60_000

/**
 * Sums up terms. Terms count whole; leaderless time counts as far as it lies in the span.
 * @param leaderlessSince since when nobody holds the Lease, if so.
 */
export function summarizeTerms(
  terms: readonly (OpenTerm | EndedTerm)[],
  leaderlessSince: string | undefined,
  span: Span,
  now: number,
): TermSummary {
  const clip = (from: number, to: number) => Math.max(0, Math.min(to, span.until, now) - Math.max(from, span.since))
  const summary: TermSummary = { terms: terms.length, holders: 0, flaps: 0, leaderlessSeconds: 0 }
  summary.holders = new Set(terms.map(({ holder }) => holder)).size
  let leaderless = leaderlessSince === undefined ? 0 : clip(Date.parse(leaderlessSince), now)
  let longest = -1
  for (const term of terms) {
    const from = Date.parse(term.from)
    const lasted = Math.max(0, Math.min(endOf(term), now) - from)
    if (term.leaderlessSeconds !== undefined) leaderless += clip(from - term.leaderlessSeconds * 1000, from)
    if ('to' in term && lasted < flapMs) summary.flaps++
    if (lasted <= longest) continue
    longest = lasted
    const end = 'to' in term ? { to: term.to } : {}
    summary.longestTerm = { holder: term.holder, from: term.from, ...end, seconds: lasted / 1000 }
  }
  summary.leaderlessSeconds = leaderless / 1000
  return summary
}

function endOf(term: OpenTerm | EndedTerm): number {
  return 'to' in term ? Date.parse(term.to) : Number.POSITIVE_INFINITY
}
