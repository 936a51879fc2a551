import type { RelayEvent } from '../../shared/event.ts'
import type { Matcher } from '../../shared/filter/filter.ts'
import type { Pattern } from '../../shared/filter/pattern.ts'
import type { LogEntry } from '../../shared/log/reader.ts'
import { formatPosition, type Position } from '../../shared/position.ts'
import { formatDelivery } from '../../shared/webhook/delivery.ts'
import { type DeliveryJob, maxJobSize } from '../../shared/webhook/job.ts'
import { lineMember, lineOf } from '../../shared/webhook/line.ts'
import type { SnapshotPlan } from './snapshot.ts'

/** A webhook, ready to be asked about events. */
export interface Subscriber {
  id: string
  matches: Matcher
  /** Events up to here are not its own. */
  start: Position
  /** Of one object one after the other. */
  isOrdered?: boolean
  /** For how many ms a job of its may wait for more; absent: not at all. */
  gather?: number
  /** How its start with the state goes; absent: it has none. */
  snapshot?: SnapshotPlan
  /** What its start with the state included already: objects with the entry up to which. */
  told?: ReadonlyMap<string, number>
  /** Which events about the relay itself it asked for, by type. */
  wantsRelay?: Pattern
  /** Who owns it; absent where nobody is known. */
  tenant?: string
}

/** A job with the deliveries that it is the first to carry. */
export interface PlannedJob {
  job: DeliveryJob
  deliveries: PlannedDelivery[]
  /** For how many ms the job may wait for more; absent: not at all. */
  gather?: number
}

export interface PlannedDelivery {
  seq: number
  id: string
  record: string
  /** Its place in line, where order is kept. */
  place?: string
}

/** What some entries of the log mean for some webhooks. */
export interface Plan {
  jobs: PlannedJob[]
  /** The last entry that was looked at. */
  last: number
}

/**
 * Matches entries in order, each parsed once.
 * @param limit stops after the entry with which this many deliveries are reached, so that one commit stays short.
 * @param now ms since 1970, when they are accepted.
 * @param waiting jobs that take more, by webhook; absent: none are to wait.
 */
export function matchEntries(
  epoch: string,
  entries: readonly LogEntry[],
  subscribers: readonly Subscriber[],
  limit: number,
  now: number,
  waiting?: ReadonlyMap<string, DeliveryJob>,
): Plan {
  const open = new Map<string, PlannedJob>()
  const jobs: PlannedJob[] = []
  let [count, last] = [0, 0]
  for (const { seq, json } of entries) {
    if (count >= limit) break
    last = seq
    if (subscribers.length === 0) continue
    const event = JSON.parse(json) as RelayEvent
    const id = formatPosition({ epoch, seq })
    for (const { id: webhook, matches, start, isOrdered, told, gather } of subscribers) {
      // A start from another life of the log was before that life ended.
      if (start.epoch === epoch && seq <= start.seq) continue
      const scope = matches(event)
      if (scope === undefined || seq <= (told?.get(lineOf(event)) ?? 0)) continue
      let planned = open.get(webhook)
      if (planned === undefined || planned.job.seqs.length === maxJobSize) {
        const before = planned === undefined ? waiting?.get(webhook) : undefined
        const job = before ?? { webhook, epoch, group: seq.toString(36), attempt: 0, seqs: [] }
        planned = { job, deliveries: [], ...(waiting === undefined || gather === undefined ? {} : { gather }) }
        open.set(webhook, planned)
        jobs.push(planned)
      }
      const object = isOrdered ? lineOf(event) : undefined
      const record = formatDelivery({
        state: 'pending',
        event: event.id,
        acceptedAt: now,
        group: planned.job.group,
        ...(scope === 'in' ? {} : { scope }),
        ...(object === undefined ? {} : { object }),
        attempts: [],
      })
      planned.job.seqs.push(seq)
      planned.deliveries.push({
        seq,
        id,
        record,
        ...(object === undefined ? {} : { place: lineMember({ object }, id) }),
      })
      count++
    }
  }
  return { jobs, last }
}
