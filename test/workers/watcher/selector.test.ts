import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { readCursor, readEvents, readKnown, startTestWatcher } from '../../support/watcher.ts'

const soon = { timeout: 20_000 }
let server: TestRedis
let redis: Redis
let sandbox: Sandbox

beforeAll(async () => {
  server = await startTestRedis()
  redis = new Redis(server.url)
  sandbox = await createSandbox({ world: false, keepHistory: true, seed: 1 })
})

afterAll(async () => {
  redis.disconnect()
  await sandbox.stop()
  await server.stop()
})

it('a changed selector takes out of the known set what it no longer selects, and says so', async () => {
  const put = (name: string, app: string) => {
    const pod = { metadata: { name, namespace: 'shop', labels: { app } } }
    sandbox.store.put('pods', pod as unknown as Parameters<typeof sandbox.store.put>[1])
  }
  const run = async (resources: string, use: () => Promise<void>) => {
    const watcher = startTestWatcher({ server: sandbox.url, redisUrl: server.url, cluster: 's', resources })
    await expect.poll(() => readCursor(redis, 's', resources), soon).not.toBe('')
    await use()
    await watcher.stop()
  }
  const known = async () => [...(await readKnown(redis, 's', 'pods')).keys()]
  await run('pods', async () => {
    put('a', 'web')
    put('b', 'api')
    await expect.poll(known, soon).toEqual(['shop/a', 'shop/b'])
  })
  await run('pods?labelSelector=app=web', () => expect.poll(known, soon).toEqual(['shop/a']))
  const last = (await readEvents(redis, 's')).at(-1)
  expect(last).toMatchObject({ type: 'k8s.pod.deleted', subject: 'shop/b', synthetic: 'relist' })
})
