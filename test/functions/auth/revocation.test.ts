import { afterEach, expect, test, vi } from 'vitest'
import { createAuthenticator } from '../../../functions/auth/choose.ts'
import type { Reviewer } from '../../../functions/auth/kubernetes.ts'
import { createLogins } from '../../../functions/auth/logins.ts'
import { createRepeats } from '../../../functions/auth/repeats.ts'
import { createSessions } from '../../../functions/auth/sessions.ts'
import { defaultLimits } from '../../../functions/limits.ts'
import { createApiKeyStore } from '../../../shared/api-key.ts'
import { parseResources } from '../../../shared/resource.ts'
import { keys, type Serving, startServing, until } from '../serving.ts'
import { silent } from '../webhook-client.ts'

let serving: Serving | undefined
afterEach(async () => {
  await serving?.stop()
  serving = undefined
})

test('a key that is revoked while its stream opens ends the stream all the same', async () => {
  serving = await startServing({ auth: { mode: 'keys' } })
  const { client: redis } = serving
  const store = createApiKeyStore(redis, keys)
  const limits = { ...defaultLimits, review: 3_600_000 }
  const now = () => new Date()
  const deps = { redis, keys, resources: parseResources('pods'), now, log: silent }
  const authenticator = createAuthenticator({ mode: 'keys' }, deps)
  const logins = createLogins(redis, keys, now)
  const sessions = createSessions({ authenticator, logins, limits, log: silent, now, onReview: () => undefined })
  const of = { grants: [{ namespaces: ['*'], resources: ['*'] }], actions: ['read' as const], createdAt: '' }
  const ended: string[] = []
  const open = async (tenant: string) => {
    const { key, record } = await store.create({ tenant, ...of })
    const caller = await authenticator.identify(key)
    return { record, begin: () => sessions.open(caller, {}, (why) => ended.push(`${tenant} ${why}`)) }
  }
  // Versions are looked at already: the one that is raised now is known before the second stream is there.
  const first = await open('first')
  first.begin()
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  const late = await open('late')
  await store.revoke(late.record.id)
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  late.begin()
  await until(() => ended.length > 0, 30_000)
  expect(ended).toEqual(['late revoked'])
  sessions.close()
})

test('a short outage of the cluster ends no stream and lets nobody new in; a long one ends all', async () => {
  let isDown = false
  let time = Date.parse('2026-01-01T00:00:00Z')
  const answer = <T>(value: T) => (isDown ? Promise.reject(new Error('connect ECONNREFUSED')) : Promise.resolve(value))
  const reviewer: Reviewer = {
    identify: (username) => answer({ username }),
    isAllowed: () => answer(true),
  }
  const auth = { mode: 'kubernetes', reviewer } as const
  serving = await startServing({ auth, now: () => new Date(time), limits: { review: 1_000 } })
  const { url, countStreams } = serving
  const ask = (token: string, accept: string) =>
    fetch(`${url}/v1/events`, { headers: { authorization: `Bearer ${token}`, accept } })
  const stream = await ask('ann', 'text/event-stream')
  const text = stream.text()
  await until(async () => (await countStreams()) === 1)
  isDown = true
  for (let passed = 0; passed < 50; passed += 10) {
    time += 10_000
    await new Promise((resolve) => setTimeout(resolve, 600))
  }
  expect(await countStreams()).toBe(1)
  const refused = await ask('bob', 'application/json')
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('2')
  expect(await refused.text()).not.toContain('ECONNREFUSED')
  // So may one who is known, once the last answer is too old.
  expect((await ask('ann', 'application/json')).status).toBe(503)
  isDown = false
  time += 5_000
  expect((await ask('bob', 'application/json')).status).toBe(200)
  await new Promise((resolve) => setTimeout(resolve, 600))
  isDown = true
  await until(async () => {
    time += 15_000
    return (await countStreams()) === 0
  })
  expect(await text).toContain('event: ready')
})

test('reviews follow a change at once and for 3 s, and never come closer than twice a second', () => {
  vi.useFakeTimers()
  const at: number[] = []
  const repeats = createRepeats(() => void at.push(performance.now()))
  try {
    const begin = performance.now()
    for (let i = 0; i < 100; i++) repeats.begin()
    expect(at).toHaveLength(1)
    for (let i = 0; i < 200; i++) {
      vi.advanceTimersByTime(10)
      repeats.begin()
    }
    const last = performance.now()
    expect(at.length).toBeGreaterThan(1)
    expect(at.length).toBeLessThanOrEqual(1 + (last - begin) / 500)
    vi.advanceTimersByTime(10_000)
    const rest = (at.at(-1) ?? 0) - last
    expect(rest).toBeGreaterThanOrEqual(2_900)
    expect(rest).toBeLessThanOrEqual(4_000)
    for (const [i, time] of at.slice(1).entries()) expect(time - (at[i] ?? 0)).toBeGreaterThanOrEqual(500)
  } finally {
    repeats.stop()
    vi.useRealTimers()
  }
})
