import { setTimeout as sleep } from 'node:timers/promises'
import type { RelayEvent } from '../../shared/event.ts'
import { createLogReader } from '../../shared/log/reader.ts'
import { parsePosition } from '../../shared/position.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import { toMessageId } from '../../workers/deliverer/message-id.ts'
import type { Receiver } from '../workers/deliverer/receiver.ts'
import type { Stage } from '../workers/deliverer/stage.ts'

/** A webhook that started with the state while things were killed, and who alone receives what it is sent. */
export interface Newcomer {
  webhook: Webhook
  receiver: Receiver
}

/**
 * Compares what such a webhook was sent with log and known set: every object once as it was, then each change that this did
 * not include.
 * @param still how many objects never change.
 * @returns what is wrong, in words.
 */
export async function checkNewcomer(stage: Stage, { webhook, receiver }: Newcomer, still: number): Promise<string[]> {
  const { id, ordering = 'none' } = webhook
  const problems: string[] = []
  const settled = untilStill(async () => {
    const { accepted, pending } = await stage.ledger.counts(id)
    const follows = await stage.redis.hget(stage.keys.own('dispatch'), `at:${id}`)
    return { isDone: pending === 0 && follows === 'live', progress: `${accepted} ${pending} ${follows}` }
  })
  await settled.catch((error: Error) => problems.push(`state, ${ordering}: ${error.message}`))
  const { accepted, ...ends } = await stage.ledger.counts(id)
  const events = receiver.received.map(({ body }) => JSON.parse(body) as RelayEvent)
  const versions = new Map<string, string>()
  for (const { synthetic, data } of events) {
    if (synthetic !== 'state') continue
    const [uid, version] = [String(data.uid), String(data.resourceVersion)]
    const before = versions.get(uid)
    if (before !== undefined && before !== version) problems.push(`state, ${ordering}: ${uid} was told twice`)
    versions.set(uid, version)
  }
  const told = [...versions.keys()].filter((uid) => uid.startsWith('still-')).length
  if (told !== still) problems.push(`state, ${ordering}: ${told} of ${still} objects were told`)
  const log = await readLog(stage)
  const included = new Map<string, number>()
  for (const { seq, event } of log) {
    if (versions.get(String(event.data.uid)) === event.data.resourceVersion) included.set(String(event.data.uid), seq)
  }
  const start = parsePosition(webhook.start).seq
  const expected = new Set<string>()
  for (const { seq, event } of log) {
    if (seq > Math.max(start, included.get(String(event.data.uid)) ?? 0)) expected.add(toMessageId(event.id))
  }
  const received = new Set(receiver.received.map(({ headers }) => headers['webhook-id'] ?? ''))
  const changes = [...received].filter((name) => !name.endsWith('-state'))
  const unexpected = changes.filter((name) => !expected.has(name))
  if (unexpected.length > 0)
    problems.push(`state, ${ordering}: ${unexpected.length} were told before, ${unexpected[0]}`)
  // What gave way to something newer is known by no receiver, but how each object is in the end.
  const newest = new Map(log.map(({ event }) => [String(event.data.uid), toMessageId(event.id)]))
  const wanted = ordering === 'latest' ? [...newest.values()].filter((name) => expected.has(name)) : [...expected]
  const missing = wanted.filter((name) => !received.has(name)).length
  if (missing > 0) problems.push(`state, ${ordering}: ${missing} are missing`)
  const objects = await stage.redis.hget(stage.keys.own('dispatch'), `told:${id}`)
  const count = Number(objects?.split(' ')[0])
  if (ordering !== 'latest' && accepted !== count + expected.size) {
    problems.push(`state, ${ordering}: ${accepted} accepted, of ${count} objects and ${expected.size} changes`)
  }
  const sum = Object.values(ends).reduce((total, end) => total + end, 0)
  if (sum !== accepted) problems.push(`state, ${ordering}: ${accepted} accepted, ${sum} at their ends`)
  console.log(
    `state, ${ordering.padEnd(7)} ${JSON.stringify({ objects: count, changes: expected.size, accepted, ...ends })}`,
  )
  return problems
}

/** Waits until something is done, as long as it goes on: how fast is the machine's affair. */
export async function untilStill(look: () => Promise<{ isDone: boolean; progress: string }>): Promise<void> {
  let last = { progress: '', at: Date.now() }
  for (;;) {
    const { isDone, progress } = await look()
    if (isDone) return
    if (progress !== last.progress) last = { progress, at: Date.now() }
    if (Date.now() - last.at > 90_000) throw new Error(`nothing goes on: ${progress}`)
    await sleep(100)
  }
}

async function readLog(stage: Stage): Promise<{ seq: number; event: RelayEvent }[]> {
  const reader = createLogReader(stage.redis, stage.keys)
  const { first, last } = await reader.bounds()
  const log: { seq: number; event: RelayEvent }[] = []
  for (let at = first - 1; at < last; ) {
    const page = await reader.read(at, 1000)
    if (page.length === 0) break
    for (const { seq, json } of page) log.push({ seq, event: JSON.parse(json) as RelayEvent })
    at = page.at(-1)?.seq ?? last
  }
  return log
}
