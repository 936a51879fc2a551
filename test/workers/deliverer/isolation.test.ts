import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { startReceiver } from './receiver.ts'
import { createStage, podEvent, until } from './stage.ts'

let server: TestRedis

beforeAll(async () => {
  server = await startTestRedis()
})
afterAll(() => server.stop())

const [endpoints, rounds, width] = [100, 60, 5]

it.each([
  ['of their own', false],
  ['that all have in common', true],
])('98 endpoints get everything while two hold what they were sent, on servers %s', async (_, isShared) => {
  const held: ServerResponse[] = []
  const hold = (response: ServerResponse) => held.push(response)
  const stuck = await startReceiver(hold)
  const receiver = await startReceiver((response, __, { url = '' }) =>
    url.includes('stuck') ? hold(response) : response.end(),
  )
  const stage = await createStage(server.url)
  const [slow, fast]: [string[], string[]] = [[], []]
  for (let n = 0; n < endpoints; n++) {
    const isSlow = n < 2
    const url = isSlow ? `${isShared ? receiver.url : stuck.url}?stuck=${n}` : `${receiver.url}?n=${n}`
    const { id } = await stage.register(url)
    if (isSlow) slow.push(id)
    else fast.push(id)
  }
  stage.dispatcher()
  // Nothing of the slow ones ends by itself, nor could they take all the places: there are more jobs than that.
  stage.deliverer({ width, concurrency: 64, deadline: 3_600_000, grace: 0 })
  const events = Array.from({ length: rounds }, (__, n) => podEvent(`web-${n}`))
  for (const event of events) await stage.append(event)
  for (const id of fast) {
    await until(async () => (await stage.ledger.counts(id)).delivered === rounds, 100_000)
  }
  // Each slow one holds as many requests as it may, and no more; none of them has ended.
  expect(held.length).toBe(slow.length * width)
  for (const id of slow) {
    expect(await stage.ledger.counts(id)).toMatchObject({ accepted: rounds, pending: rounds, delivered: 0 })
  }
  await stage.close()
  await receiver.close()
  await stuck.close()
})
