import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createRestClient } from '../../shared/redis/rest.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { type Mood, type MoodyRedis, moods, startMoodyRedis } from '../support/redis-over-http/moody.ts'

let store: TestRedis
let server: MoodyRedis
let redis: RedisClient
/** Of a server that never answers little is learnt by waiting. */
let hasty: RedisClient

beforeAll(async () => {
  store = await startTestRedis()
  server = await startMoodyRedis(store.url)
  redis = createRestClient({ url: server.url, token: server.token, timeout: 30_000 })
  hasty = createRestClient({ url: server.url, token: server.token, timeout: 200 })
})
afterEach(() => {
  server.mood = 'well'
  server.asked.length = 0
})
afterAll(async () => {
  await server.stop()
  await store.stop()
})

/** What came of commands of one moment; of failures all that a log could tell. */
async function attempt(client: RedisClient, ...commands: string[][]): Promise<string[]> {
  const calls = commands.map(([name = '', ...args]) => client.call(name, ...args))
  const answers = await Promise.allSettled(calls)
  return answers.map((answer) => inspect(answer.status === 'fulfilled' ? answer.value : answer.reason, { depth: 9 }))
}

const noAnswer = /^Error: no answer of Redis, but HTTP \d{3}\n/
const expected: Record<Exclude<Mood, 'well'>, RegExp> = {
  'wants another token': /^ReplyError: WRONGPASS invalid token\n/,
  'has had enough': /^ReplyError: ERR max requests limit exceeded\n/,
  'is a gateway that has had enough': noAnswer,
  'is a gateway that refuses': noAnswer,
  'is broken': noAnswer,
  'is a gateway before nothing': noAnswer,
  'is a web page': noAnswer,
  'answers half of its JSON': noAnswer,
  'answers other JSON': noAnswer,
  'answers nothing to some': noAnswer,
  'answers one for all': noAnswer,
  'leads elsewhere': noAnswer,
  'breaks off': /^Error: Redis cannot be reached over HTTP\n/,
  'breaks off in the middle': /^Error: Redis cannot be reached over HTTP\n/,
  'never answers': /^Error: Redis did not answer in time\n/,
  'never ends its answer': /^Error: Redis did not answer in time\n/,
}

describe.each(Object.keys(moods) as Exclude<Mood, 'well'>[])('a server that %s', (mood) => {
  test('fails each command with what is wrong and nothing secret, once, and none after it is well', async () => {
    server.mood = mood
    const client = mood.startsWith('never') ? hasty : redis
    const said = [...(await attempt(client, ['PING'])), ...(await attempt(client, ['PING'], ['PING']))]
    expect(said).toHaveLength(3)
    for (const text of said) {
      expect(text).toMatch(expected[mood])
      expect(text).not.toContain(server.token)
    }
    expect(server.asked).toEqual(['/', '/pipeline'])
    server.mood = 'well'
    expect(await attempt(redis, ['PING'], ['ECHO', 'a'])).toEqual(["'PONG'", "'a'"])
  })
})

test('a script that the server does not know is sent whole, alone and among others', async () => {
  const one = ['EVALSHA', '0'.repeat(40), '0']
  expect(await attempt(redis, one)).toEqual([expect.stringMatching(/^ReplyError: NOSCRIPT /)])
  expect(await attempt(redis, ['PING'], one, ['EVAL', 'return {1, false, "a"}', '0'])).toEqual([
    "'PONG'",
    expect.stringMatching(/^ReplyError: NOSCRIPT /),
    "[ 1, null, 'a' ]",
  ])
})

test('the API may be below a path, with or without a slash at its end', async () => {
  for (const path of ['/redis', '/redis/']) {
    await createRestClient({ url: `${server.url}${path}?_token=other`, token: server.token }).call('PING')
  }
  expect(server.asked).toEqual(['/redis/', '/redis/'])
})

test('a token with a line break at its end is the token', async () => {
  expect(await createRestClient({ url: server.url, token: `${server.token}\n` }).call('PING')).toBe('PONG')
})

test.each([
  ['a line break', 'hush\nhush'],
  ['a letter of no header', 'hush-€'],
])('a token with %s is refused, and not said', (_, token) => {
  expect(() => createRestClient({ url: server.url, token })).toThrow(/^the token for Redis has characters/)
})

test('an address with a password is refused, and neither is said', () => {
  const create = () => createRestClient({ url: 'https://user:hush@redis.example.com', token: '' })
  expect(create).toThrow(/^the address of a Redis server over HTTP takes no password; its token is set apart$/)
})
