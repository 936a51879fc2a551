/** The one queue of a cluster. */
export const queueName = 'deliveries'

/** How many deliveries one job carries at most: jobs, not deliveries, are what the queue's throughput is counted in. */
export const maxJobSize = 64

/** A job: some deliveries of one webhook, by reference. Its truth is the ledger; a job only says "look now". */
export interface DeliveryJob {
  webhook: string
  epoch: string
  /** Names the job over its retries: the sequence number of the first delivery it ever carried. */
  group: string
  /** How many attempts each of them has behind it. */
  attempt: number
  seqs: number[]
}

/** A job's id in the queue, which allows no `:` and no number. The same work has the same id, however often it is added. */
export function jobId(job: DeliveryJob): string {
  return `${job.webhook}_${job.epoch}_${job.group}_${job.attempt}`
}

/** The options that every job has. A job that fails has met a fault of ours, such as an unreachable Redis, and is repeated. */
export const jobOptions = {
  attempts: 1_000_000,
  backoff: { type: 'fixed', delay: 2000, jitter: 0.5 },
  // An ended job's id must not stand in the way of the next one, and the ledger remembers what it did.
  removeOnComplete: true,
  removeOnFail: { count: 1000 },
} as const
