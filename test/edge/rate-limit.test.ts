import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createWriter, listen, until } from '../functions/serving.ts'
import { openSocket } from '../runtime/open-socket.ts'
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

let redis: TestRedis
let client: Redis
let edge: TestEdge | undefined

beforeEach(async () => {
  redis = await startTestRedis()
  client = new Redis(redis.url)
})
afterEach(async () => {
  await edge?.stop()
  client.disconnect()
  await redis.stop()
})

async function start(options: Partial<TestEdgeOptions>): Promise<TestEdge> {
  edge = await startTestEdge({ redisUrl: redis.url, ...options })
  return edge
}

const origin = 'https://ops.example.com'

test('more requests than the platform allows are told when to come again, and open streams notice nothing', async () => {
  const { url } = await start({ perMinute: 10, vars: { RELAY_CORS_ORIGINS: origin }, limits: { heartbeat: 300 } })
  const writer = await createWriter(client, 'pods', 1_000)
  const listener = listen(url, '')
  const socket = await openSocket(url, '')
  await until(() => listener.messages.length > 0 && socket.count('ready') === 1)
  const ask = (headers: Record<string, string> = {}) => fetch(`${url}/v1/webhooks`, { headers: { origin, ...headers } })

  let refused = await ask()
  // The minute may be over in between.
  await until(async () => {
    refused = await ask()
    return refused.status !== 200
  })
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(refused.headers.get('content-type')).toBe('application/problem+json')
  expect(refused.headers.get('x-content-type-options')).toBe('nosniff')
  expect(refused.headers.get('access-control-allow-origin')).toBe(origin)
  expect(await refused.json()).toMatchObject({ status: 429, type: 'urn:kube-watch-relay:problem:too_many' })

  for (let i = 0; i < 3; i++) await writer.append({ name: `a-${i}` })
  await until(() => listener.messages.length === 4 && socket.names().length === 3)
  expect(socket.names()).toEqual(['a-0', 'a-1', 'a-2'])
  expect(listener.resumed).toHaveLength(1)
  // Whoever shows another credential is another caller.
  expect((await ask({ authorization: 'Bearer somebody-else' })).status).toBe(200)
  listener.close()
  socket.close()
})

test('without that binding nobody is refused but by the limit of a hub', async () => {
  const { url } = await start({ limits: { rate: 5 } })
  const ask = () => fetch(`${url}/v1/webhooks`)
  for (let i = 0; i < 20; i++) expect((await ask()).status, String(i)).toBe(200)
  let refused: Response | undefined
  await until(async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, ask))
    refused = answers.find(({ status }) => status === 429)
    return refused !== undefined
  }, 60_000)
  expect(await refused?.json()).toMatchObject({ detail: 'At most 5 requests a second.' })
})
