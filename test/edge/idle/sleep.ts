import { Redis } from 'ioredis'
import { createWriter, until } from '../../functions/serving.ts'
import { openSocket } from '../../runtime/open-socket.ts'
import { startTestEdge } from '../../support/edge.ts'
import { startTestRedis } from '../../support/redis.ts'

/** Longer than the ten seconds after which workerd takes an object that waits for nothing out of memory. */
const silence = 15

/**
 * A WebSocket to a hub that may sleep, while nothing happens for so long that the runtime itself takes the hub out of memory;
 * then one event, which must be told once, on the same connection. Takes about a minute.
 */
export async function checkSleep(): Promise<{ isGood: boolean; text: string }> {
  const redis = await startTestRedis()
  const client = new Redis(redis.url)
  const writer = await createWriter(client, 'pods', 1_000)
  const vars = { HUB_SLEEP_SECONDS: silence, LOG_LEVEL: 'debug' }
  const edge = await startTestEdge({ redisUrl: redis.url, vars })
  const socket = await openSocket(edge.url, '')
  let isClosed = false
  void socket.closed.then(() => {
    isClosed = true
  })
  await until(() => socket.count('ready') === 1)
  await writer.append({ name: 'first' })
  const starts = () => edge.harness.getLogs().filter(({ message }) => message.includes('a hub starts')).length
  const begin = performance.now()
  await until(() => starts() === 2, 10 * silence * 1_000)
  const gone = performance.now() - begin
  // By then it has looked, found nothing and sleeps again.
  const heartbeats = socket.count('heartbeat')
  await until(() => socket.count('heartbeat') > heartbeats, 5 * silence * 1_000)
  const names = () => socket.names().join()
  await writer.append({ name: 'second' })
  const told = performance.now()
  await until(() => names().includes('second'), 5 * silence * 1_000)
  const late = performance.now() - told
  await writer.append({ name: 'third' })
  await until(() => names().includes('third'))
  const isGood = !isClosed && names() === 'first,second,third'
  socket.close()
  await edge.stop()
  client.disconnect()
  await redis.stop()
  const seconds = (ms: number) => (ms / 1_000).toFixed(0)
  const text = `hub replaced within ${seconds(gone)} s of silence, told after ${seconds(late)} s of sleep`
  return { isGood, text: `${text}; ${isGood ? 'connection kept, all told once' : `broken: ${names()}`}` }
}
