import { setTimeout } from 'node:timers/promises'
import type { Row } from '../bench.ts'
import { startRelay } from '../fanout/contenders.ts'
import { createEvent } from '../fanout/feed.ts'
import { openSubscribers, race, settle } from '../fanout/pacing.ts'
import { startOnWorkerd } from './workerd.ts'

const subscribers = 2_000
const stopped = 100

/** What the inspector tells of an isolate, in bytes. */
interface HeapUsage {
  usedSize: number
  embedderHeapUsedSize: number
  backingStorageSize: number
}

/** What 2,000 subscribers take of the 128 MB that the platform gives an isolate: here one for the Worker and the hub. */
export async function* measureHeap(seconds: number): AsyncGenerator<Row> {
  let inspector = ''
  const contender = await startRelay(async (redisUrl) => {
    const server = await startOnWorkerd(redisUrl, { isInspected: true })
    inspector = server.inspector
    return server
  })
  const heap = await inspect(inspector, `http://127.0.0.1:${contender.port}/healthz`)
  const some = await openSubscribers(contender, [contender.path], stopped)
  const others = await openSubscribers(contender, [contender.path], subscribers - stopped)
  let sent = 0
  const send = async (count: number) => {
    await contender.publish(Array.from({ length: count }, () => createEvent(sent++)))
  }
  try {
    await setTimeout(1_000)
    yield { case: 'workerd, 2,000 idle, heap', value: (await heap(true)) / 2 ** 20, unit: 'MB', ratios: {} }
    await send(20)
    await settle(others, sent * (subscribers - stopped))
    some.signal('SIGSTOP')
    let peak = 0
    let isOver = false
    const watching = (async () => {
      for (; !isOver; await setTimeout(50)) peak = Math.max(peak, await heap(false))
    })()
    await race(others, send, () => sent, subscribers - stopped, seconds + 5)
    isOver = true
    await watching
    yield { case: 'workerd, 2,000, 5 % stopped, heap', value: peak / 2 ** 20, unit: 'MB', ratios: {} }
  } finally {
    some.signal('SIGCONT')
    await some.end()
    await others.end()
    await contender.stop()
  }
}

/** Asks an isolate what it uses, after it threw away what nobody needs or as it is; it answers only while it has requests. */
async function inspect(address: string, request: string): Promise<(isClean: boolean) => Promise<number>> {
  const socket = new WebSocket(`ws://${address}/main`)
  await new Promise((resolve) => socket.addEventListener('open', resolve))
  let calls = 0
  const call = async (method: string) => {
    const id = ++calls
    let answer: HeapUsage | undefined
    const listen = ({ data }: MessageEvent) => {
      const message = JSON.parse(String(data)) as { id: number; result: HeapUsage }
      if (message.id === id) answer = message.result
    }
    socket.addEventListener('message', listen)
    socket.send(JSON.stringify({ id, method }))
    while (answer === undefined) {
      await (await fetch(request)).text()
      await setTimeout(10)
    }
    socket.removeEventListener('message', listen)
    return answer
  }
  return async (isClean) => {
    if (isClean) await call('HeapProfiler.collectGarbage')
    const { usedSize, embedderHeapUsedSize, backingStorageSize } = await call('Runtime.getHeapUsage')
    return usedSize + embedderHeapUsedSize + backingStorageSize
  }
}
