import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServe } from '../../functions/node.ts'
import { type RelayMessage, type SubscribeOptions, SubscriptionError, subscribe } from '../../shared/client.ts'
import type { Logger, Running } from '../../shared/role.ts'
import { type SampleWriter, type Serving, serveConfig, startServing, until } from './serving.ts'

let serving: Serving
let writer: SampleWriter
beforeAll(async () => {
  serving = await startServing({ limits: { heartbeat: 200, drain: 50 } })
  writer = await serving.createWriter()
})
afterAll(() => serving.stop())

/** Collects what comes until told to stop. */
function collect(options: SubscribeOptions) {
  const abort = new AbortController()
  const messages: RelayMessage[] = []
  const done = (async () => {
    for await (const message of subscribe({ longestPause: 300, ...options, signal: abort.signal }))
      messages.push(message)
  })()
  const names = () => messages.flatMap((message) => ('relay' in message ? [] : [message.data.name]))
  return { messages, names, done, stop: () => abort.abort() }
}

test('tells what happens, filtered, and ends when it is told to', async () => {
  const got = collect({ url: serving.url, filter: { name: ['x', 'y'] }, from: 'now' })
  await until(async () => (await serving.countStreams()) === 1)
  await writer.append({ name: 'x' }, { name: 'w' }, { name: 'y' })
  await until(() => got.messages.length === 2)
  expect(got.names()).toEqual(['x', 'y'])
  got.stop()
  await got.done
  await until(async () => (await serving.countStreams()) === 0)
})

test('tells the current objects and says when they were all', async () => {
  await writer.append({ name: 'here' })
  for await (const message of subscribe({ url: serving.url, filter: { name: 'here' }, from: 'state' })) {
    if ('relay' in message) {
      expect(message).toMatchObject({ relay: 'live', cursor: expect.any(String) })
      break
    }
    expect(message).toMatchObject({ synthetic: 'state', data: { name: 'here' } })
  }
})

test('loses and doubles nothing while the relay restarts again and again', async () => {
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const log = silent as unknown as Logger
  const config = { ...serveConfig, redisUrl: serving.redis.url }
  let running: Running = await startServe(config, log, { limits: { drain: 50 } })
  const url = running.about.url ?? ''
  const port = Number(new URL(url).port)
  const got = collect({ url, filter: { namespace: 'restarts' }, from: 'now' })
  await until(async () => ((await (await fetch(`${url}/readyz`)).json()) as { streams: number }).streams === 1)
  const total = 300
  for (let i = 0; i < total; i++) {
    await writer.append({ namespace: 'restarts', name: `n-${i}` })
    if (i % 100 !== 50) continue
    await running.stop()
    await writer.append({ namespace: 'other' })
    running = await startServe({ ...config, port }, log, { limits: { drain: 50 } })
  }
  await until(() => got.messages.length >= total)
  got.stop()
  await got.done
  await running.stop()
  expect(got.names()).toEqual(Array.from({ length: total }, (_, i) => `n-${i}`))
})

test('goes on after a connection on which nothing comes', async () => {
  let requests = 0
  const never: typeof fetch = async (_, init) => {
    requests++
    const body = new ReadableStream({
      start: (controller) => init?.signal?.addEventListener('abort', () => controller.error(new Error('aborted'))),
    })
    return new Response(body)
  }
  const got = collect({ url: serving.url, fetch: never, silence: 50 })
  await until(() => requests > 2)
  got.stop()
  await got.done
})

test('reports that events are missing, and goes on with those that are kept', async () => {
  const own = await startServing()
  try {
    const small = await own.createWriter('pods', 5)
    await small.append({ name: 'first' })
    const page = await fetch(`${own.url}/v1/events`, { headers: { accept: 'application/json' } })
    const { next } = (await page.json()) as { next: string }
    for (let i = 0; i < 20; i++) await small.append({ name: `n-${i}` })
    const got = collect({ url: own.url, cursor: next })
    await until(() => got.names().at(-1) === 'n-19')
    got.stop()
    await got.done
    expect(got.messages[0]).toMatchObject({ relay: 'reset', reason: 'trimmed' })
    expect(got.names()).toEqual(['n-15', 'n-16', 'n-17', 'n-18', 'n-19'])
  } finally {
    await own.stop()
  }
})

test('gives up when the relay refuses for good, and says why', async () => {
  const refused = subscribe({ url: serving.url, filter: { phase: 'Sleeping' } }).next()
  await expect(refused).rejects.toThrow(SubscriptionError)
  await expect(refused).rejects.toMatchObject({
    status: 400,
    field: 'phase',
    message: expect.stringContaining('Sleeping'),
    retryAfter: undefined,
  })
})

/** Answers requests in turn, the last one for ever. */
function answer(...responses: ((headers: Headers) => Response)[]) {
  const asked: { url: string; headers: Headers }[] = []
  const send: typeof fetch = async (url, init) => {
    const headers = new Headers(init?.headers)
    const respond = responses[Math.min(asked.length, responses.length - 1)]
    asked.push({ url: String(url), headers })
    return respond?.(headers) ?? new Response()
  }
  return { asked, send }
}

const lines = (...messages: object[]) =>
  new Response(messages.map((message) => `${JSON.stringify(message)}\n`).join(''))
const event = (name: string, cursor?: string) => ({ id: name, data: { name, changes: [] }, ...(cursor && { cursor }) })

test('waits as long as the relay asks to, and longer and longer where it does not say', async () => {
  const busy = (after: string) => () => new Response('', { status: 429, headers: { 'retry-after': after } })
  const date = new Date(Date.now() + 60_000).toUTCString()
  const { send } = answer(busy('30'), busy(date), () => new Response('', { status: 503 }))
  const pauses: number[] = []
  const pauseOf = async (count: number) => {
    const abort = new AbortController()
    const onRetry = (why: Error, pause: number) => {
      expect(why).toBeInstanceOf(SubscriptionError)
      pauses.push(pause)
      if (pauses.length === count) abort.abort()
    }
    for await (const _ of subscribe({
      url: 'http://relay',
      fetch: send,
      longestPause: 300,
      onRetry,
      signal: abort.signal,
    }));
  }
  await pauseOf(1)
  await pauseOf(2)
  await pauseOf(5)
  expect(pauses[0]).toBeGreaterThanOrEqual(30_000)
  expect(pauses[1]).toBeGreaterThan(50_000)
  for (const pause of pauses.slice(2)) expect(pause).toBeLessThanOrEqual(300)
})

test('stays away for as long as the stream asked to, and no longer than it may', async () => {
  const { send } = answer(() => lines({ relay: 'retry', ms: 4_000 }, { relay: 'ready', cursor: 'c' }, event('a', 'd')))
  const pauseUpTo = (longestPause?: number) =>
    new Promise<number>((resolve) => {
      const abort = new AbortController()
      const onRetry = (_: Error, pause: number) => {
        abort.abort()
        resolve(pause)
      }
      const longest = longestPause === undefined ? {} : { longestPause }
      void (async () => {
        for await (const _ of subscribe({
          url: 'http://relay',
          fetch: send,
          onRetry,
          signal: abort.signal,
          ...longest,
        }));
      })()
    })
  expect(await pauseUpTo()).toBeGreaterThanOrEqual(2_000)
  expect(await pauseUpTo()).toBeLessThanOrEqual(4_000)
  expect(await pauseUpTo(50)).toBeLessThanOrEqual(50)
})

test('keeps a connection whose events its caller takes time over', async () => {
  let requests = 0
  const send: typeof fetch = (url, init) => {
    requests++
    return fetch(url, init)
  }
  const got: unknown[] = []
  const page = await fetch(`${serving.url}/v1/events?from=now&name=slow-*`, { headers: { accept: 'application/json' } })
  const { next } = (await page.json()) as { next: string }
  await writer.append({ name: 'slow-1' }, { name: 'slow-2' })
  const filter = { name: 'slow-*' }
  for await (const message of subscribe({ url: serving.url, cursor: next, filter, fetch: send, silence: 1_000 })) {
    if ('relay' in message) continue
    got.push(message.data.name)
    if (got.length === 3) break
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    if (got.length === 2) await writer.append({ name: 'slow-3' })
  }
  expect(got).toEqual(['slow-1', 'slow-2', 'slow-3'])
  expect(requests).toBe(1)
})

test.each(['localhost:8080', '/v1', '', 'ftp://relay'])(
  'refuses %j at once, since nothing is to be had there',
  async (url) => {
    await expect(subscribe({ url }).next()).rejects.toThrow(`url: "${url}" must begin with http:// or https://`)
  },
)

test('gives up on an address that answers with a web page', async () => {
  const { send } = answer(() => new Response('<html>', { headers: { 'content-type': 'text/html; charset=utf-8' } }))
  const wrong = subscribe({ url: 'http://elsewhere.example', fetch: send }).next()
  await expect(wrong).rejects.toMatchObject({
    name: 'SubscriptionError',
    status: 200,
    message: expect.stringContaining('http://elsewhere.example answers with a web page'),
  })
})

test('asks for a new token when one is refused, and gives up when that one is refused too', async () => {
  const refusal = () => new Response('', { status: 401 })
  const { asked, send } = answer((headers) =>
    headers.get('authorization') === 'Bearer second' ? lines({ relay: 'ready', cursor: 'c' }, event('x')) : refusal(),
  )
  const tokens = ['first', 'second', 'second', 'third', 'third']
  const given: string[] = []
  const token = async () => {
    given.push(tokens[given.length] ?? '')
    return given.at(-1) ?? ''
  }
  const names: unknown[] = []
  const all = (async () => {
    for await (const message of subscribe({ url: 'http://relay', fetch: send, token, longestPause: 10 }))
      names.push(message)
  })()
  await expect(all).rejects.toMatchObject({ name: 'SubscriptionError', status: 401 })
  expect(given).toEqual(tokens)
  expect(names).toHaveLength(2)
  expect(asked.map(({ headers }) => headers.get('last-event-id'))).toEqual([null, null, 'c', 'c', 'c'])
  const once = subscribe({ url: 'http://relay', fetch: send, token: 'wrong' }).next()
  await expect(once).rejects.toMatchObject({ status: 401 })
})

test('tells the current objects anew, and says so, when the connection breaks before all were told', async () => {
  const { asked, send } = answer(
    () => lines({ relay: 'ready', cursor: 'c-1' }, event('a')),
    () => lines({ relay: 'ready', cursor: 'c-2' }, event('b'), { relay: 'live', cursor: 'c-2' }, event('c', 'c-3')),
    () => lines({ relay: 'ready', cursor: 'c-3' }),
  )
  const messages: RelayMessage[] = []
  for await (const message of subscribe({ url: 'http://relay/at/', from: 'state', fetch: send, longestPause: 10 })) {
    messages.push(message)
    if (messages.length === 5) break
  }
  expect(messages.map((message) => ('relay' in message ? message.relay : message.id))).toEqual([
    'a',
    'reset',
    'b',
    'live',
    'c',
  ])
  expect(messages[1]).toEqual({ relay: 'reset', reason: 'restarted', cursor: 'c-2' })
  expect(asked.map(({ url }) => url)).toEqual(Array(2).fill('http://relay/at/v1/events?from=state'))
  expect(asked.map(({ headers }) => headers.get('last-event-id'))).toEqual([null, null])
})
