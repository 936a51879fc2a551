import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findFreePort } from '../../infra/redis/server.ts'
import { followLog } from '../../shared/log/reader.ts'
import { createPollingClient } from '../../shared/redis/polling.ts'
import { createRestClient } from '../../shared/redis/rest.ts'
import { createScript, type RedisClient, toRecord } from '../../shared/redis.ts'
import { createWriter, keys } from '../functions/serving.ts'
import { createAuthority } from '../support/certificates.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { startRedisOverHttp } from '../support/redis-over-http.ts'

/** What is connected: for short commands, and for reads that wait. */
interface Connected {
  readonly redis: RedisClient
  readonly tail: RedisClient
  stop(): Promise<void> | void
}

const folder = await mkdtemp(join(tmpdir(), 'relay-tls-'))
const authority = createAuthority(folder, 'ca')
const server = authority.issue('redis')
// Read when wrangler is loaded: each workerd that it starts trusts the authority.
process.env.NODE_EXTRA_CA_CERTS = authority.certFile
const { startProbe } = await import('../support/probe.ts')

const overHttp = async (redisUrl: string): Promise<Connected> => {
  const { url, token, stop } = await startRedisOverHttp(redisUrl, authority.certFile)
  const redis = createRestClient({ url, token })
  const ending = new AbortController()
  const tail = createPollingClient(redis, ending.signal)
  return {
    redis,
    tail,
    stop() {
      ending.abort()
      return stop()
    },
  }
}
const inWorkerd = async (redisUrl: string, token?: string): Promise<Connected> => {
  const { url, stop } = await startProbe(redisUrl, token)
  const redis = createRestClient({ url, token: 'probe' })
  return { redis, tail: createRestClient({ url: `${url}/tail`, token: 'probe' }), stop }
}

const implementations: readonly [name: string, connect: (plain: string, tls: string) => Promise<Connected>][] = [
  [
    'ioredis on Node',
    async (plain) => {
      const [redis, tail] = [new Redis(plain), new Redis(plain)]
      const stop = () => {
        redis.disconnect()
        tail.disconnect()
      }
      return { redis, tail, stop }
    },
  ],
  ['HTTP', (plain) => overHttp(plain)],
  ['ioredis on Node over TLS, and HTTP', (_, tls) => overHttp(tls)],
  ['sockets of workerd', (plain) => inWorkerd(plain)],
  ['sockets of workerd over TLS', (_, tls) => inWorkerd(tls)],
  [
    'HTTP in workerd',
    async (plain) => {
      const { url, token, stop } = await startRedisOverHttp(plain)
      const probe = await inWorkerd(url, token)
      return {
        ...probe,
        async stop() {
          await probe.stop()
          await stop()
        },
      }
    },
  ],
]

let store: TestRedis
let tls: string

beforeAll(async () => {
  const port = await findFreePort()
  const files = ['--tls-cert-file', server.certFile, '--tls-key-file', server.keyFile]
  const options = ['--tls-port', String(port), ...files, '--tls-ca-cert-file', authority.certFile]
  store = await startTestRedis({ extraArgs: [...options, '--tls-auth-clients', 'no'] })
  tls = store.url.replace('redis://', 'rediss://').replace(/127\.0\.0\.1:\d+/, `localhost:${port}`)
})
afterAll(async () => {
  await store.stop()
  await rm(folder, { recursive: true, force: true })
})

describe.each(implementations)('%s', (name, connect) => {
  let connected: Connected
  let redis: RedisClient
  const key = (suffix: string) => `${name}:${suffix}`

  beforeAll(async () => {
    connected = await connect(store.url, tls)
    redis = connected.redis
  })
  afterAll(() => connected.stop())

  test('answers texts, numbers, nothing and lists as Redis does', async () => {
    expect(await redis.call('SET', key('text'), 'a')).toBe('OK')
    expect(await redis.call('GET', key('text'))).toBe('a')
    expect(await redis.call('GET', key('missing'))).toBeNull()
    expect(await redis.call('INCR', key('count'))).toBe(1)
    await redis.call('HSET', key('hash'), 'one', 1, 'two', 'b')
    expect(await redis.call('HMGET', key('hash'), 'two', 'three', 'one')).toEqual(['b', null, '1'])
    expect(toRecord(await redis.call('HGETALL', key('hash')))).toEqual({ one: '1', two: 'b' })
    expect(await redis.call('LRANGE', key('list'), 0, -1)).toEqual([])
  })

  test.each([
    ['empty', ''],
    ['quotes and line breaks', '"\\\r\n\t\u2028\u0000'],
    ['any script', 'äß 漢字 🦀 \u{10ffff}'],
    ['300 KB', 'x€'.repeat(75_000)],
    ['a number beyond 2^53', '9007199254740993'],
    ['what looks like an answer', '{"error":"ERR no","result":null}'],
    ['base64', 'T0s='],
  ])('carries any text: %s', async (_, text) => {
    await redis.call('SET', key('text'), text)
    expect(await redis.call('GET', key('text'))).toBe(text)
    const several = [redis.call('GET', key('text')), redis.call('MGET', key('text'), key('missing'))]
    expect(await Promise.all(several)).toEqual([text, [text, null]])
  })

  test('carries half of a pair as every encoder does, and the rest of the text whole', async () => {
    await redis.call('SET', key('text'), 'a\ud800b')
    expect(await redis.call('GET', key('text'))).toBe('a\ufffdb')
  })

  test('rejects what Redis refuses, with its code in front, and nothing else of the same moment', async () => {
    await redis.call('SET', key('text'), 'a')
    await expect(redis.call('LPUSH', key('text'), 'b')).rejects.toThrow(/^WRONGTYPE /)
    const [good, bad, better] = await Promise.allSettled([
      redis.call('INCR', key('alone')),
      redis.call('LPUSH', key('text'), 'b'),
      redis.call('INCR', key('alone')),
    ])
    expect(good).toEqual({ status: 'fulfilled', value: 1 })
    expect(bad.status).toBe('rejected')
    expect(better).toEqual({ status: 'fulfilled', value: 2 })
  })

  test('executes commands of one moment in their order', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => redis.call('INCR', key('order'))))
    expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => i + 1))
  })

  test('runs scripts, known to the server or not', async () => {
    const script = createScript(`return {KEYS[1], ARGV[1], 3, {'a', {'b'}}, false} -- ${name}`)
    for (let i = 0; i < 2; i++) {
      expect(await script.run(redis, ['k'], ['v'])).toEqual(['k', 'v', 3, ['a', ['b']], null])
      await redis.call('SCRIPT', 'FLUSH')
    }
  })

  test('follows the log without loss or double, also while nothing is written for a time', async () => {
    const client = new Redis(store.url)
    const writer = await createWriter(client, 'pods', 100_000)
    const [epoch, last] = (await redis.call('HMGET', keys.meta, 'epoch', 'seq')) as string[]
    const from = { epoch: epoch ?? '', seq: Number(last) }
    const total = 120
    const seen: number[] = []
    const ending = new AbortController()
    const reading = (async () => {
      for await (const step of followLog(connected.tail, keys, from, {
        signal: ending.signal,
        block: 500,
        limit: 50,
      })) {
        if (step.type === 'entries') seen.push(...step.entries.map(({ seq }) => seq))
        if (seen.length >= total) return
      }
    })()
    for (let i = 0; i < total; i += 10) {
      await writer.append(...Array.from({ length: 10 }, (_, j) => ({ name: `n-${i + j}` })))
      if (i === 50) await new Promise((resolve) => setTimeout(resolve, 1_200))
    }
    await reading
    ending.abort()
    client.disconnect()
    expect(seen).toEqual(Array.from({ length: total }, (_, i) => from.seq + i + 1))
  })
})

test('a wrong token, and a server that is not there, are failures that say so', async () => {
  const { url, stop } = await startRedisOverHttp(store.url)
  await expect(createRestClient({ url, token: 'wrong' }).call('PING')).rejects.toThrow('WRONGPASS')
  await stop()
  await expect(createRestClient({ url, token: 'a-token' }).call('PING')).rejects.toThrow()
})
