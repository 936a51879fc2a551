import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/redis.ts'
import { runRelay } from '../relay-process.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startTestRedis()
})
afterAll(() => redis.stop())

const relay = (...args: string[]) => runRelay(args, { REDIS_URL: redis.url, RELAY_CLUSTER: 'test' })

test('creates a key that is shown once, lists it without it, and revokes it', async () => {
  const created = await relay(
    'keys',
    'create',
    'shop',
    '--namespaces',
    'shop,team-*',
    '--resources',
    'pods',
    '--days',
    '30',
  )
  expect(created).toMatchObject({ code: 0, stderr: '' })
  const key = created.stdout.split('\n')[0] ?? ''
  const id = /^rk_([0-9a-z]{8})_[\w-]{43}$/.exec(key)?.[1] ?? ''
  const list = await relay('keys', 'list')
  expect(list.stdout).toContain(`${id}  shop    shop,team-*  pods       read`)
  expect(list.stdout).not.toContain(key.slice(12))
  expect((await relay('keys', 'revoke', id)).code).toBe(0)
  expect((await relay('keys', 'list')).stdout).not.toContain(id)
})

test.each([
  [['keys', 'revoke', 'nothing'], 'There is no key nothing'],
  [['keys', 'create', 'a b'], 'A tenant is'],
  [['keys', 'create', 'a', '--namespaces', 'A!'], '--namespaces'],
  [['keys', 'create', 'a', '--actions', 'write'], 'there are read, webhooks'],
  [['serve', '--host', '0.0.0.0'], 'Set RELAY_AUTH=keys'],
  [['up', '--host', '0.0.0.0', '--sandbox'], 'Set RELAY_AUTH=keys'],
  [['serve', '--auth', 'jwt'], 'RELAY_JWT_ISSUER'],
])('refuses %j with exit code 2', async (args, problem) => {
  const { code, stderr } = await relay(...args)
  expect(stderr).toContain(problem)
  expect(code).toBe(2)
})
