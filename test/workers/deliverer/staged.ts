import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { type Receiver, startReceiver } from './receiver.ts'
import { createStage, type Stage } from './stage.ts'

/**
 * Gives each test of a file a stage of its own, all in one Redis, and takes away whatever the test had running.
 * @param set is given the stage before each test.
 * @returns what starts a receiver for the time of one test.
 */
export function stageEach(set: (stage: Stage) => void): typeof startReceiver {
  let server: TestRedis
  let stage: Stage
  const receivers: Receiver[] = []
  beforeAll(async () => {
    server = await startTestRedis()
  })
  afterAll(() => server.stop())
  beforeEach(async () => {
    stage = await createStage(server.url)
    set(stage)
  })
  afterEach(async () => {
    await stage.close()
    for (const receiver of receivers.splice(0)) await receiver.close()
  })
  return async (answer) => {
    const receiver = await startReceiver(answer)
    receivers.push(receiver)
    return receiver
  }
}
