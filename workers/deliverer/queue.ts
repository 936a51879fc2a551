import { Queue } from 'bullmq'
import type { RedisConnection } from '../../infra/node/connect-redis.ts'
import type { Keys } from '../../shared/keys.ts'
import { type DeliveryJob, jobId, jobOptions, queueName } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'

/** Where jobs wait. */
export interface DeliveryQueue {
  /** Adds jobs in one round trip and answers with their ids; one that is there already stays as it is. */
  enqueue(jobs: readonly DeliveryJob[]): Promise<string[]>
  /**
   * Adds a job that is due in `delay` ms. Where one with its id is there that does not carry all of its deliveries, since two
   * workers ran the job before it at a time, each with a part of the outcomes, the others get a job of their own.
   */
  retry(job: DeliveryJob, delay: number): Promise<void>
  close(): Promise<void>
}

/** More workers than ever run one job at a time. */
const mostVariants = 9

/** Creates the producers' end of the queue; `redis` stays the caller's to close. */
export function createDeliveryQueue(
  redis: RedisConnection,
  keys: Keys,
  onError: (error: Error) => void,
): DeliveryQueue {
  const queue = new Queue<DeliveryJob>(queueName, { connection: redis, prefix: createWebhookKeys(keys).queue })
  queue.on('error', onError)
  const addDelayed = async (job: DeliveryJob, delay: number, variant: number): Promise<void> => {
    const id = variant === 0 ? jobId(job) : `${jobId(job)}_${variant}`
    await queue.add('deliver', job, { ...jobOptions, jobId: id, delay })
    if (variant === mostVariants) return
    const present = await queue.getJob(id)
    // One that is gone already has run, whichever of the two it was.
    const carried = new Set(present?.data.seqs)
    const seqs = job.seqs.filter((seq) => !carried.has(seq))
    if (seqs.length > 0) await addDelayed({ ...job, seqs }, delay, variant + 1)
  }
  return {
    async enqueue(jobs) {
      const ids = jobs.map(jobId)
      await queue.addBulk(
        jobs.map((data, n) => ({ name: 'deliver', data, opts: { ...jobOptions, jobId: ids[n] ?? '' } })),
      )
      return ids
    },
    retry: (job, delay) => addDelayed(job, delay, 0),
    async close() {
      await queue.close()
    },
  }
}
