import type { ObjectData } from './event.ts'

/** How a term of a Lease began; `observed`: it was running when the relay first saw the Lease. */
export type TermStart = 'acquired' | 'transferred' | 'reacquired' | 'observed'

/** How it ended; `unseen`: the Lease's counter tells that somebody else had it between two versions that the relay saw. */
export type TermEnd = 'released' | 'transferred' | 'expired' | 'deleted' | 'unseen'

/** The present term of a Lease: from when to when one holder had it. Times are RFC 3339, by the relay's clock. */
export interface OpenTerm {
  holder: string
  /** When the relay saw it begin; for an `observed` term the holder's own `acquireTime`, where it is set. */
  from: string
  began: TermStart
  /** How many times the relay saw it renewed. */
  renewals: number
  /** The Lease's own counter at the beginning. */
  transitions?: number
  /** How long nobody held the Lease before. */
  leaderlessSeconds?: number
}

/** A term that is over, with the Lease's name: an identity may have had several. */
export interface EndedTerm extends OpenTerm {
  namespace: string
  name: string
  to: string
  ended: TermEnd
}

/** What the relay tells of a Lease. */
export interface LeaseData extends ObjectData {
  /** Null while nobody holds it. */
  holder: string | null
  durationSeconds?: number
  /** By the holder's clock, with all six digits. */
  acquireTime?: string
  renewTime?: string
  transitions?: number
  strategy?: string
  preferredHolder?: string
  /** When the relay last saw it taken or renewed, by its own clock. */
  renewed?: string
  /** True when the relay saw its duration pass without a renewal. */
  expired: boolean
  /** Since when nobody holds it. */
  leaderlessSince?: string
  previousHolder?: string
  term?: OpenTerm
}

/** A Lease that claims to last longer than this is taken for one without a duration, in seconds. */
const longestDuration = 366 * 86_400

/**
 * How long a Lease lives after its last renewal, in ms; undefined for one that nobody holds, and for one whose duration is
 * missing or absurd: it never expires.
 */
export function lifetimeOf({ holder, durationSeconds = 0 }: Pick<LeaseData, 'holder' | 'durationSeconds'>) {
  const isUsable = durationSeconds > 0 && durationSeconds <= longestDuration
  return holder === null || !isUsable ? undefined : durationSeconds * 1000
}
