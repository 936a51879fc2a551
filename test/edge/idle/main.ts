// `npm run edge:idle [minutes]`: a stream and a WebSocket through workerd, with the limits of a deployment, while nothing
// happens; then one event, which both must be told at once. Meanwhile, another hub is left to sleep under its WebSocket.
import { Redis } from 'ioredis'
import { createWriter, listen, until } from '../../functions/serving.ts'
import { openSocket } from '../../runtime/open-socket.ts'
import { startTestEdge } from '../../support/edge.ts'
import { startTestRedis } from '../../support/redis.ts'
import { checkSleep } from './sleep.ts'

const minutes = Number(process.argv[2] ?? 10)
const redis = await startTestRedis()
const client = new Redis(redis.url)
const writer = await createWriter(client, 'pods', 1_000)
const edge = await startTestEdge({ redisUrl: redis.url })
const sleeping = checkSleep()
const listener = listen(edge.url, '')
const socket = await openSocket(edge.url, '')
let isClosed = false
void socket.closed.then(() => {
  isClosed = true
})
await until(() => listener.messages.length === 1 && socket.count('ready') === 1)
await new Promise((resolve) => setTimeout(resolve, minutes * 60_000))
const slept = await sleeping
const heartbeats = socket.count('heartbeat')
const begin = performance.now()
await writer.append({ name: 'at-last' })
await until(() => listener.messages.length === 2 && socket.names().length === 1)
const late = performance.now() - begin
console.log(slept.text)
const isAlive = !isClosed && listener.resumed.length === 1
console.log(
  `${minutes} min idle, ${heartbeats} heartbeats, told after ${late.toFixed(0)} ms; ${isAlive ? 'never broken' : 'broken'}`,
)
listener.close()
socket.close()
await edge.stop()
client.disconnect()
await redis.stop()
process.exitCode = isAlive && slept.isGood ? 0 : 1
