import { type DeliveryJob, jobId, maxJobSize } from '../../shared/webhook/job.ts'
import type { PlannedJob } from './match.ts'

/**
 * Jobs whose webhooks want larger batches: accepted, and in the outbox, but not in the queue before they are full or their
 * time is over. Whoever leads next sends them at once.
 */
export interface Holding {
  /** By webhook: the job that takes what comes next. */
  readonly open: ReadonlyMap<string, DeliveryJob>
  /** Keeps those of some accepted jobs that have time; answers with the others. */
  keep(jobs: readonly PlannedJob[]): DeliveryJob[]
  /** Lets go of a job, as it is by now; undefined when it has gone. */
  take(id: string): DeliveryJob | undefined
  /** Whether a job, by its id, is kept. */
  has(id: string): boolean
  close(): void
}

/** @param onDue is told of a job, by its id, whose time is over; it stays open until it is taken. */
export function createHolding(onDue: (id: string) => void): Holding {
  const open = new Map<string, DeliveryJob>()
  const kept = new Map<string, { job: DeliveryJob; timer: NodeJS.Timeout }>()
  const take = (id: string) => {
    const found = kept.get(id)
    if (found === undefined) return undefined
    clearTimeout(found.timer)
    kept.delete(id)
    open.delete(found.job.webhook)
    return found.job
  }
  return {
    open,
    keep(jobs) {
      const ready: DeliveryJob[] = []
      // The one of a webhook that is not full is its last.
      for (const { job, gather } of jobs) {
        const id = jobId(job)
        if (gather === undefined || job.seqs.length === maxJobSize) {
          take(id)
          ready.push(job)
        } else if (!kept.has(id)) {
          kept.set(id, { job, timer: setTimeout(onDue, gather, id) })
          open.set(job.webhook, job)
        }
      }
      return ready
    },
    take,
    has: (id) => kept.has(id),
    close() {
      for (const { timer } of kept.values()) clearTimeout(timer)
      kept.clear()
      open.clear()
    },
  }
}
