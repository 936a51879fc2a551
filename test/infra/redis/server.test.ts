import { Redis } from 'ioredis'
import { afterEach, expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'

let redis: TestRedis | undefined

afterEach(() => redis?.stop())

async function ask<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

test('keeps every answered write when it is killed', async () => {
  redis = await startTestRedis()
  await ask(redis.url, (client) => client.set('kept', 'yes'))
  await redis.kill('SIGKILL')
  await redis.restart()
  expect(await ask(redis.url, (client) => client.get('kept'))).toBe('yes')
})

test('evicts nothing, writes no snapshots and listens on loopback alone', async () => {
  redis = await startTestRedis()
  const settings = await ask(redis.url, (client) =>
    client.config('GET', 'maxmemory-policy', 'save', 'bind', 'appendonly'),
  )
  expect(settings).toEqual(expect.arrayContaining(['noeviction', '127.0.0.1', 'yes']))
  expect(settings).toEqual(expect.arrayContaining(['save', '']))
})

test('takes further arguments', async () => {
  redis = await startTestRedis({ appendfsync: 'always', extraArgs: ['--maxmemory', '64mb'] })
  const settings = await ask(redis.url, (client) => client.config('GET', 'maxmemory', 'appendfsync'))
  expect(settings).toEqual(expect.arrayContaining([String(64 * 1024 * 1024), 'always']))
})
