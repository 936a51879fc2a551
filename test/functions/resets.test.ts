import { afterEach, beforeEach, expect, test } from 'vitest'
import { listen, type SampleWriter, type Serving, startServing, until } from './serving.ts'

let serving: Serving
let writer: SampleWriter

beforeEach(async () => {
  serving = await startServing()
  writer = await serving.createWriter('pods', 50)
})
afterEach(() => serving.stop())

const readPage = (query: string, headers: Record<string, string> = {}) =>
  fetch(`${serving.url}/v1/events${query}`, { headers: { accept: 'application/json', ...headers } })

test('says reset with the oldest cursor when the asked place was trimmed, and goes on from there', async () => {
  await writer.append({ name: 'n-1' })
  const { next } = (await (await readPage('')).json()) as { next: string }
  for (let i = 2; i <= 100; i++) await writer.append({ name: `n-${i}` })
  const listener = listen(serving.url, '', { 'last-event-id': next })
  await until(() => listener.messages.length === 51)
  listener.close()
  const [reset, first] = listener.messages
  expect(reset).toMatchObject({ type: 'reset', data: { reason: 'trimmed' } })
  expect(reset?.id).toBe(reset?.data.oldest)
  expect(first?.data.data.name).toBe('n-51')
  expect(listener.messages.at(-1)?.data.data.name).toBe('n-100')
})

test('answers a page 410 with the oldest cursor, from which reading works', async () => {
  await writer.append({ name: 'n-1' })
  const { next } = (await (await readPage('')).json()) as { next: string }
  for (let i = 2; i <= 100; i++) await writer.append({ name: `n-${i}` })
  const gone = await readPage(`?from=${next}`)
  expect(gone.status).toBe(410)
  expect(gone.headers.get('content-type')).toBe('application/problem+json')
  const { oldest } = (await gone.json()) as { oldest: string }
  const page = (await (await readPage(`?from=${oldest}`)).json()) as { events: { data: { name: string } }[] }
  expect(page.events.map(({ data }) => data.name)).toEqual(Array.from({ length: 50 }, (_, i) => `n-${i + 51}`))
})

test('says that a time before the oldest kept event is gone', async () => {
  const before = new Date().toISOString()
  for (let i = 1; i <= 100; i++) await writer.append({ name: `n-${i}` })
  expect((await readPage(`?from=${before}`)).status).toBe(410)
  expect((await readPage(`?from=${new Date(Date.now() + 60_000).toISOString()}`)).status).toBe(200)
})

test('says reset to those who follow when the log begins a new life', async () => {
  await writer.append({ name: 'old' })
  const listener = listen(serving.url, '?from=start')
  await until(() => listener.messages.length === 2)
  await writer.renewEpoch()
  await writer.append({ name: 'new' })
  await until(() => listener.messages.at(-1)?.data.data?.name === 'new')
  listener.close()
  expect(listener.messages.map(({ type }) => type)).toEqual(['ready', 'message', 'reset', 'message', 'message'])
  expect(listener.messages[2]?.data.reason).toBe('replaced')
  // Everything that is kept is told again, with cursors of the new life.
  expect(listener.messages[3]?.data.data.name).toBe('old')
})

test('goes on after Redis was killed, without loss or double', async () => {
  const listener = listen(serving.url, '')
  await until(() => listener.messages.length === 1)
  await writer.append({ name: 'a' })
  await until(() => listener.messages.length === 2)
  // The file is written every second: what was acknowledged before is to survive.
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  await serving.redis.kill()
  await until(async () => (await readPage('')).status === 503)
  await until(async () => (await fetch(`${serving.url}/readyz`)).status === 503)
  expect((await fetch(`${serving.url}/healthz`)).status).toBe(200)
  const refused = await readPage('')
  expect(refused.headers.get('retry-after')).toBe('2')
  expect(JSON.stringify(await refused.json())).not.toMatch(/ECONN|127\.0\.0\.1|ioredis|stream/i)
  await serving.redis.restart()
  await until(async () => (await readPage('')).status === 200)
  const again = await serving.createWriter('pods', 50)
  await again.append({ name: 'b' })
  await until(() => listener.messages.length === 3)
  listener.close()
  expect(listener.messages.slice(1).map(({ data }) => data.data.name)).toEqual(['a', 'b'])
  expect(listener.resumed).toHaveLength(1)
  const changes = serving.lines.filter(({ level }) => level === 'warn')
  expect(changes.map(({ message }) => message).sort()).toEqual([
    'Redis cannot be reached; trying on',
    'cannot follow the log; trying again until it works',
  ])
})

test('answers 503 while Redis is frozen, and goes on when it thaws', async () => {
  const listener = listen(serving.url, '')
  await until(() => listener.messages.length === 1)
  await serving.redis.kill('SIGSTOP')
  const begin = performance.now()
  const [ready, page] = await Promise.all([fetch(`${serving.url}/readyz`), readPage('')])
  expect([ready.status, page.status]).toEqual([503, 503])
  expect(performance.now() - begin).toBeLessThan(7_000)
  await serving.redis.kill('SIGCONT')
  await until(async () => (await readPage('')).status === 200)
  await writer.append({ name: 'thawed' })
  await until(() => listener.messages.length === 2)
  listener.close()
  expect(listener.messages[1]?.data.data.name).toBe('thawed')
})
