import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { checkRedis, findWeaknesses } from '../../infra/node/check-redis.ts'
import { openRedis, type RedisConnection } from '../../infra/node/connect-redis.ts'
import { findFreePort } from '../../infra/redis/server.ts'
import type { Logger } from '../../shared/role.ts'
import { startTestRedis } from '../support/redis.ts'

const endings: (() => unknown)[] = []

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

function connect(url: string): RedisConnection {
  const redis = openRedis(url, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
  redis.on('error', () => undefined)
  endings.push(() => redis.disconnect())
  return redis
}

async function start(...extraArgs: string[]) {
  const server = await startTestRedis({ extraArgs })
  endings.push(() => server.stop())
  return { server, redis: connect(server.url) }
}

function createLog() {
  const warnings: string[] = []
  const quiet = () => undefined
  const log: Logger = {
    trace: quiet,
    debug: quiet,
    info: quiet,
    warn: (_, message) => warnings.push(message),
    error: quiet,
    child: () => log,
  }
  return { log, warnings }
}

const weak = ['--appendonly', 'no', '--maxmemory-policy', 'allkeys-lru']

it('finds nothing to say of our own settings', async () => {
  const { redis } = await start()
  expect(await findWeaknesses(redis)).toEqual([])
})

it('names each weak setting with the command that puts it right', async () => {
  const { redis } = await start(...weak)
  const found = await findWeaknesses(redis)
  expect(found).toEqual([
    expect.stringMatching(/^Redis: appendonly is no: .*CONFIG SET appendonly yes, then CONFIG REWRITE/),
    expect.stringMatching(/^Redis: maxmemory-policy is allkeys-lru: .*CONFIG SET maxmemory-policy noeviction/),
  ])
  for (const line of found) {
    const [, command = ''] = /redis-cli (CONFIG SET \S+ \w+)/.exec(line) ?? []
    await redis.call('CONFIG', ...command.split(' ').slice(1))
  }
  await redis.call('CONFIG', 'SET', 'appendfsync', 'no')
  expect(await findWeaknesses(redis)).toEqual([expect.stringMatching(/appendfsync is no: .*appendfsync everysec/)])
})

it('finds them by INFO where CONFIG is forbidden', async () => {
  const { server, redis } = await start(...weak)
  await redis.call('ACL', 'SETUSER', 'guest', 'on', '>pw', '~*', '&*', '+@all', '-config')
  const guest = connect(server.url.replace(/:[^:@/]*@/, 'guest:pw@'))
  expect(await findWeaknesses(guest)).toEqual([
    expect.stringMatching(/appendonly is no: .*Set appendonly to yes where this server is managed/),
    expect.stringMatching(/maxmemory-policy is allkeys-lru: .*where this server is managed/),
  ])
})

describe('a start', () => {
  it('warns once of each', async () => {
    const { redis } = await start(...weak)
    const { log, warnings } = createLog()
    await checkRedis(redis, { log, strict: false })
    await expect.poll(() => warnings.length, { timeout: 20_000 }).toBe(2)
  })

  it('is refused when strict, with exit code 2', async () => {
    const { redis } = await start(...weak)
    const { log } = createLog()
    await expect(checkRedis(redis, { log, strict: true })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining('appendonly'),
    })
  })

  it('does not wait for a Redis that cannot be reached, and is refused later', async () => {
    const port = await findFreePort()
    const redis = connect(`redis://:pw@127.0.0.1:${port}`)
    const { log } = createLog()
    await checkRedis(redis, { log, strict: false })
    const refused = new EventTarget()
    const refusal = once(refused, 'refused')
    await checkRedis(redis, { log, strict: true, refuse: () => refused.dispatchEvent(new Event('refused')) })
    const server = await startTestRedis({ password: 'pw', port, extraArgs: weak })
    endings.push(() => server.stop())
    await refusal
  })
})
