import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { RelayEvent } from '../../shared/event.ts'
import { compileFilter } from '../../shared/filter/filter.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { formatPosition, parsePosition } from '../../shared/position.ts'
import { startTestRedis } from '../support/redis.ts'
import { startReceiver } from '../workers/deliverer/receiver.ts'
import { createStage, podEvent } from '../workers/deliverer/stage.ts'
import { checkNewcomer, type Newcomer, untilStill } from './newcomer.ts'
import { createRandom } from './random.ts'

// Kills whatever delivers, and Redis, again and again under load; then the ledger must be equal to the log × the filters.
const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
})
const kills = Number(values.kills)
const random = createRandom(Number(values.seed))
console.log(`seed ${values.seed}`)
const program = new URL('../workers/deliverer/worker-process.ts', import.meta.url).pathname

const redis = await startTestRedis({ appendfsync: 'always' })
const receiver = await startReceiver((response, count) => {
  setTimeout(() => response.writeHead(count % 17 === 0 ? 500 : 200).end(), 5)
})
const stage = await createStage(redis.url)
const webhooks = [
  await stage.register(receiver.url),
  await stage.register(`${receiver.url}?failed`, { filter: { phase: ['Failed'] } }),
  await stage.register(`${receiver.url}?object`, { ordering: 'object' }),
  await stage.register(`${receiver.url}?latest`, { ordering: 'latest' }),
]

/** Objects that never change, so that telling the state takes a while. */
const still = Array.from({ length: 3000 }, (_, n) => podEvent(`still-${n}`))
for (let i = 0; i < still.length; i += 300) await stage.know(...still.slice(i, i + 300))
const newcomers: Newcomer[] = []
const orderings = ['none', 'object', 'latest'] as const
const join = async () => {
  const own = await startReceiver((response, count) => {
    response.writeHead(count % 29 === 0 ? 500 : 200).end()
  })
  const ordering = orderings[newcomers.length % orderings.length] ?? 'none'
  const state = [{ group: '', version: 'v1', resource: 'pods' }]
  newcomers.push({ webhook: await stage.register(own.url, { ordering, state }), receiver: own })
}

/** What waits is to be as much as is in flight, not a queue that grows because this machine is busy. */
const mostWaiting = 400
const calm = async () => {
  for (let isCalm = false; !isCalm && !isOver; ) {
    const waiting = webhooks.slice(0, 2).map(async ({ id }) => (await stage.ledger.counts(id)).pending)
    isCalm = (await Promise.all(waiting)).every((count) => count < mostWaiting)
    if (!isCalm) await sleep(100)
  }
}

let isOver = false
let appended = 0
let refused = 0
const load = (async () => {
  while (!isOver) {
    const events = Array.from({ length: 5 }, () =>
      podEvent(`web-${appended++ % 23}`, appended % 4 ? 'Running' : 'Failed'),
    )
    // Redis died in between; what counts is what the log holds in the end.
    await stage.change(...events).catch(() => refused++)
    await sleep(20)
    await calm()
  }
})()

const workers: ChildProcess[] = []
/** Waits until it works: on a busy machine those would else be killed that have not begun. */
const startWorker = async () => {
  const worker = spawn(process.execPath, [program, redis.url, stage.cluster], { stdio: ['ignore', 'pipe', 'inherit'] })
  workers.push(worker)
  await Promise.race([once(worker.stdout, 'data'), sleep(20_000)])
}
await startWorker()
await startWorker()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))
process.once('exit', () => {
  for (const worker of workers) worker.kill('SIGKILL')
})
let redisKills = 0
for (let kill = 0; kill < kills; kill++) {
  await sleep(400 + random.dice(1200))
  // Those that start with the state come while things are being killed.
  if (kill % 12 === 3 && kill < kills - 5) await join()
  if (kill % 5 === 4) {
    await redis.restart()
    redisKills++
  } else {
    const victim = workers.splice(random.dice(workers.length), 1)[0]
    const ended = victim === undefined ? undefined : once(victim, 'exit')
    victim?.kill('SIGKILL')
    await ended
    await startWorker()
  }
}
isOver = true
await load

const problems: string[] = []
const reader = createLogReader(stage.redis, stage.keys)
const { epoch, first, last } = await reader.bounds()
for (const { id, filter, ordering = 'none' } of webhooks) {
  const expected = new Set<string>()
  const matches = compileFilter(filter)
  for (let at = first - 1; at < last; at += 500) {
    for (const { seq, json } of await reader.read(at, 500)) {
      const isWanted = matches(JSON.parse(json) as RelayEvent) !== undefined
      if (seq <= at + 500 && isWanted) expected.add(formatPosition({ epoch, seq }))
    }
  }
  const settled = untilStill(async () => {
    const { accepted, pending } = await stage.ledger.counts(id)
    return { isDone: accepted === expected.size && pending === 0, progress: `${accepted} ${pending}` }
  })
  await settled.catch(async () => {
    const stuck = await stage.ledger.list(id, { state: 'pending', limit: 3 })
    problems.push(`${ordering}: still pending, such as ${JSON.stringify(stuck)}`)
  })
  const { accepted, ...ends } = await stage.ledger.counts(id)
  const listed = await stage.ledger.list(id, { limit: 100_000 })
  const numbers = new Set(listed.map((delivery) => delivery.id.slice(delivery.id.lastIndexOf('-'))))
  // Ended deliveries are kept up to a number; their counts are kept for good.
  const floor = await stage.ledger.floor(id)
  const kept = [...expected].filter((cursor) => parsePosition(cursor).seq > floor)
  const missing = kept.filter((cursor) => !numbers.has(cursor.slice(cursor.lastIndexOf('-'))))
  const sum = Object.values(ends).reduce((total, count) => total + count, 0)
  if (missing.length > 0) problems.push(`${ordering}: ${missing.length} events were not accepted`)
  if (accepted !== expected.size) problems.push(`${ordering}: ${accepted} accepted of ${expected.size}`)
  if (accepted !== sum) problems.push(`${ordering}: ${accepted} accepted, ${sum} at their ends`)
  console.log(`${ordering.padEnd(7)} ${JSON.stringify({ events: expected.size, accepted, ...ends })}`)
}
for (const newcomer of newcomers) problems.push(...(await checkNewcomer(stage, newcomer, still.length)))
const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
console.log(
  `${kills} kills (${redisKills} of Redis), ${appended} events, ${refused} appends cut off by Redis, ${ids.length} requests`,
)
for (const worker of workers) worker.kill('SIGKILL')
await stage.close()
await receiver.close()
for (const newcomer of newcomers) await newcomer.receiver.close()
await redis.stop()
for (const problem of problems) console.error(problem)
process.exit(problems.length === 0 ? 0 : 1)
