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
  })
})
