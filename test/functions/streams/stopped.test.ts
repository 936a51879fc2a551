import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { type Serving, startServing, until } from '../serving.ts'

let serving: Serving | undefined
let stopped: ChildProcessByStdio<null, Readable, null> | undefined
afterEach(async () => {
  stopped?.kill('SIGKILL')
  await serving?.stop()
})

/** Prints what it is sent, as it comes. HTTP/1.0, so that no chunk header stands between. */
const client = `
const { connect } = require('node:net')
const socket = connect(process.argv[1], '127.0.0.1', () => {
  socket.write('GET /v1/events HTTP/1.0\\r\\nHost: localhost\\r\\nAccept: text/event-stream\\r\\n\\r\\n')
  socket.pipe(process.stdout)
})
socket.on('error', () => process.exit())
`

function startClient(url: string) {
  const child = spawn(process.execPath, ['-e', client, new URL(url).port], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pieces: Buffer[] = []
  child.stdout.on('data', (piece: Buffer) => pieces.push(piece))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  return { child, ended, text: () => Buffer.concat(pieces).toString() }
}

/** The numbers of the events in a text, of whole frames alone. */
const numbersIn = (text: string) =>
  [...text.slice(0, text.lastIndexOf('\n\n') + 2).matchAll(/"name":"n-(\d+)"/g)].map(([, number]) => Number(number))

async function readUntil(url: string, lastEventId: string | undefined, last: number): Promise<number[]> {
  const headers = {
    accept: 'text/event-stream',
    ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
  }
  const response = await fetch(`${url}/v1/events`, { headers })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  const numbers: number[] = []
  let rest = ''
  while (numbers.at(-1) !== last) {
    const piece = await reader?.read()
    if (piece === undefined || piece.done) throw new Error('the stream ended')
    rest += piece.value
    const end = rest.lastIndexOf('\n\n') + 2
    if (end === 1) continue
    numbers.push(...numbersIn(rest.slice(0, end)))
    rest = rest.slice(end)
  }
  await reader?.cancel()
  return numbers
}

test('a client whose process is stopped is cut where it can go on, and the others miss nothing', async () => {
  serving = await startServing({ limits: { stall: 500 } })
  const { url } = serving
  const writer = await serving.createWriter()
  const total = 3_000
  const all = Array.from({ length: total }, (_, i) => i)
  const one = startClient(url)
  stopped = one.child
  await until(() => one.text().includes('event: ready'))
  const others = Array.from({ length: 5 }, () => readUntil(url, undefined, total - 1))
  await until(async () => (await serving?.countStreams()) === 6)
  one.child.kill('SIGSTOP')
  // More than the kernel's buffers on both sides hold.
  const padding = 'x'.repeat(10_000)
  for (let i = 0; i < total; i += 50) {
    await writer.append(...all.slice(i, i + 50).map((number) => ({ name: `n-${number}`, padding })))
  }
  for (const numbers of await Promise.all(others)) expect(numbers).toEqual(all)
  await until(async () => (await serving?.countStreams()) === 0)
  expect(serving.lines).toContainEqual({ level: 'info', message: 'cut a reader that took nothing for too long' })

  one.child.kill('SIGCONT')
  await one.ended
  const numbers = numbersIn(one.text())
  expect(numbers).toEqual(all.slice(0, numbers.length))
  expect(numbers.length).toBeLessThan(total)
  const whole = one.text().slice(0, one.text().lastIndexOf('\n\n'))
  const cursor = [...whole.matchAll(/^id: (.+)$/gm)].at(-1)?.[1]
  expect(await readUntil(url, cursor, total - 1)).toEqual(all.slice(numbers.length))
}, 60_000)
