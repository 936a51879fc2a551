import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Serving, startServing, until } from '../serving.ts'

let serving: Serving
beforeAll(async () => {
  serving = await startServing({ limits: { rate: 100_000, drain: 50 } })
  const writer = await serving.createWriter()
  await writer.append({ name: 'a' }, { name: 'b', phase: 'Running' })
})
afterAll(() => serving.stop())

interface Answer {
  status: number
  body: string
}

/** Sends bytes as they are: what HTTP libraries would never let through is what is wanted here. */
function send(path: string, headers = ''): Promise<Answer> {
  const head = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n${headers}\r\n`
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(serving.url).port), '127.0.0.1', () => socket.write(head, 'latin1'))
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      const [front = '', ...body] = text.split('\r\n\r\n')
      resolve({ status: Number(front.split(' ')[1]), body: body.join('\r\n\r\n') })
    })
  })
}

/** Either what was asked for, or a refusal that says why: never a failure of our own, and never silence. */
function expectSense({ status, body }: Answer, about: string): void {
  expect([200, 400, 404, 406, 410, 422, 431], about).toContain(status)
  const answer = JSON.parse(body) as { events?: unknown[]; detail?: string; status?: number }
  if (status === 200) expect(answer.events, about).toBeInstanceOf(Array)
  else expect(answer, about).toMatchObject({ status, detail: expect.stringMatching(/\S/) })
}

test('answers whatever stands in a query with events or with a reason', async () => {
  const names = ['from', 'limit', 'wait', 'ticket', 'name', 'namespace', 'phase.to', 'type', 'labelSelector', 'where']
  const name = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...names) },
    fc.string({ unit: 'binary', maxLength: 8 }),
  )
  const value = fc.oneof(
    fc.constantFrom(
      'now',
      'start',
      '-1',
      '0',
      '1e400',
      'NaN',
      '',
      ',',
      '!',
      '*',
      '!*',
      '%',
      '%00',
      '%0d%0a',
      '%ff',
      '\x7f',
    ),
    fc.string({ unit: 'binary', maxLength: 40 }).map(encodeURIComponent),
    fc.stringMatching(/^[0-9a-z]{1,18}-[0-9a-z]{1,14}(-[0-9a-z]{6,10})?$/),
    fc.stringMatching(/^[a-z!=(), "<>&|.[\]]{1,60}$/).map(encodeURIComponent),
    fc.integer({ min: 1, max: 7_000 }).map((length) => 'x'.repeat(length)),
  )
  // What waits is asked for elsewhere: here no answer is to take long.
  const pair = fc
    .tuple(name.map(encodeURIComponent), value)
    .filter(([key, text]) => key !== 'wait' || !/^\d+$/.test(text))
  await fc.assert(
    fc.asyncProperty(fc.array(pair, { maxLength: 5 }), async (pairs) => {
      const query = pairs.map(([key, text]) => `${key}=${text}`).join('&')
      expectSense(await send(`/v1/events?${query}`), query)
    }),
    { numRuns: 300 },
  )
})

test('answers whatever stands in Last-Event-ID with events or with a reason', async () => {
  const text = fc.oneof(
    fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 60 }),
    fc.stringMatching(/^[0-9a-z]{1,18}-[0-9a-z]{1,14}-[0-9a-z]{8}$/),
    fc.integer({ min: 1, max: 30_000 }).map((length) => 'x'.repeat(length)),
  )
  await fc.assert(
    fc.asyncProperty(text, async (id) => {
      // A line feed ends the header: what follows it is another one, or the end of them all.
      if (/\r|\n/.test(id)) return
      expectSense(await send('/v1/events', `Last-Event-ID: ${id}\r\n`), JSON.stringify(id))
    }),
    { numRuns: 200 },
  )
  for (const id of ['a\rb', 'a\0b', 'a\n b', 'a\r\n b', 'a\r\n\tb']) {
    const { status } = await send('/v1/events', `Last-Event-ID: ${id}\r\n`)
    expect(status, JSON.stringify(id)).toBe(400)
  }
})

test.each([
  'limit=-1',
  'limit=0',
  'limit=1001',
  'limit=1.5',
  'limit=',
  'limit=1&limit=2',
  'wait=-1',
  'wait=61',
  'wait=1e308',
  'wait=Infinity',
  'wait=x',
])('refuses %s and names it', async (query) => {
  const { status, body } = await send(`/v1/events?${query}`)
  expect(status).toBe(400)
  expect(JSON.parse(body)).toMatchObject({ field: query.split('=')[0] })
})

test('after all that, nothing has failed, and no stream is left', async () => {
  await until(async () => (await serving.countStreams()) === 0)
  expect(serving.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
