import { Queue } from 'bullmq'
import type { RedisConnection } from '../../infra/node/connect-redis.ts'
import type { Keys } from '../../shared/keys.ts'
import { type DeliveryJob, jobId, jobOptions, queueName } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'

/** Where jobs wait. */
export interface DeliveryQueue {
  /** Adds jobs in one round trip and answers with their ids; one that is there already stays as it is. */
  enqueue(jobs: readonly DeliveryJob[]): Promise<string[]>
  /** Adds a job that is due in `delay` ms. */
  retry(job: DeliveryJob, delay: number): Promise<void>
  close(): Promise<void>
}

/** Creates the producers' end of the queue; `redis` stays the caller's to close. */
export function createDeliveryQueue(
  redis: RedisConnection,
  keys: Keys,
  onError: (error: Error) => void,
): DeliveryQueue {
  const queue = new Queue<DeliveryJob>(queueName, { connection: redis, prefix: createWebhookKeys(keys).queue })
  queue.on('error', onError)
  return {
    async enqueue(jobs) {
      const ids = jobs.map(jobId)
      await queue.addBulk(
        jobs.map((data, n) => ({ name: 'deliver', data, opts: { ...jobOptions, jobId: ids[n] ?? '' } })),
      )
      return ids
    },
    async retry(job, delay) {
      await queue.add('deliver', job, { ...jobOptions, jobId: jobId(job), delay })
    },
    async close() {
      await queue.close()
    },
  }
}
