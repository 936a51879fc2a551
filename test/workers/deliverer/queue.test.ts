import { Queue } from 'bullmq'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type DeliveryJob, jobId, queueName } from '../../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../../shared/webhook/keys.ts'
import { createDeliveryQueue } from '../../../workers/deliverer/queue.ts'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { createStage, type Stage } from './stage.ts'

let server: TestRedis
let stage: Stage

beforeAll(async () => {
  server = await startTestRedis()
  stage = await createStage(server.url)
})
afterAll(async () => {
  await stage.close()
  await server.stop()
})

it('carries every delivery, also when two workers repeat parts of one job', async () => {
  const queue = createDeliveryQueue(stage.redis, stage.keys, () => undefined)
  const look = new Queue<DeliveryJob>(queueName, {
    connection: stage.redis,
    prefix: createWebhookKeys(stage.keys).queue,
  })
  const job = { webhook: 'wh_1', epoch: 'e', group: 'g', attempt: 1 }
  await queue.retry({ ...job, seqs: [1] }, 60_000)
  await queue.retry({ ...job, seqs: [1, 2, 3] }, 60_000)
  await queue.retry({ ...job, seqs: [3, 4] }, 60_000)
  await queue.retry({ ...job, seqs: [2] }, 60_000)
  const waiting = await look.getJobs(['delayed'])
  expect(waiting.map(({ data }) => data.seqs).sort()).toEqual([[1], [2, 3], [4]])
  const id = jobId({ ...job, seqs: [] })
  expect(waiting.map((each) => each.id).sort()).toEqual([id, `${id}_1`, `${id}_2`])
  await queue.close()
  await look.close()
})
