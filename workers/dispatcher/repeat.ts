import type { RelayEvent } from '../../shared/event.ts'
import { compileFilter } from '../../shared/filter/filter.ts'
import type { Keys } from '../../shared/keys.ts'
import type { LogReader } from '../../shared/log/reader.ts'
import { formatPosition, type Position, parsePosition } from '../../shared/position.ts'
import type { RedisClient } from '../../shared/redis.ts'
import { type Delivery, failedStates, formatDelivery, parseDelivery } from '../../shared/webhook/delivery.ts'
import { maxJobSize } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import { lineMember, lineOf } from '../../shared/webhook/line.ts'
import type { Task, TaskProgress } from '../../shared/webhook/task.ts'
import type { PlannedJob, Subscriber } from './match.ts'

/** A page of a task: the deliveries that it adds, and where the task is after it. */
export interface TaskStep {
  jobs: PlannedJob[]
  progress: TaskProgress
}

/** One that is to be sent once more: as the `nth` of those with its number. */
type Repeated = Pick<Delivery, 'event' | 'scope' | 'object' | 'body' | 'cursor' | 'repeats'> & {
  seq: number
  nth: number
}

const pageSize = 500
/** More than ever share one number within one list, so that those of different lists are told apart. */
const mostAlike = 100

/** Takes the next page of a task. Asked again for the same page, it plans the same deliveries under the same ids. */
export async function planTask(
  deps: { redis: RedisClient; keys: Keys; reader: LogReader; position: Position; now: number },
  task: Task,
  before: TaskProgress,
  subscriber: Subscriber,
): Promise<TaskStep> {
  const read = task.kind === 'replay' ? readLog : readFailed
  const { found, looked, ...place } = await read(deps, task, before, subscriber)
  const jobs = planRepeats(task, found, subscriber, deps.now)
  const accepted = before.accepted + found.length
  return { jobs, progress: { ...place, looked: before.looked + looked, accepted } }
}

type Page = Omit<TaskProgress, 'accepted'> & { found: Repeated[] }
type Read = (
  deps: { redis: RedisClient; keys: Keys; reader: LogReader; position: Position },
  task: Task,
  before: TaskProgress,
  subscriber: Subscriber,
) => Promise<Page>

const readLog: Read = async ({ reader, position }, task, before, subscriber) => {
  const matches = task.filter === undefined ? subscriber.matches : compileFilter(task.filter)
  const { upTo = position.seq } = task
  const entries = (await reader.read(before.at, pageSize)).filter(({ seq }) => seq <= upTo)
  const found = entries.flatMap(({ seq, json }): Repeated[] => {
    const event = JSON.parse(json) as RelayEvent
    const scope = matches(event)
    if (scope === undefined) return []
    const object = subscriber.isOrdered ? { object: lineOf(event) } : {}
    const cursor = formatPosition({ epoch: position.epoch, seq })
    return [{ seq, nth: 0, event: event.id, cursor, ...object, ...(scope === 'in' ? {} : { scope }) }]
  })
  const at = entries.at(-1)?.seq ?? upTo
  return { found, looked: entries.length, part: 0, at, isDone: at >= upTo }
}

const readFailed: Read = async ({ redis, keys, reader }, task, before, subscriber) => {
  const state = failedStates[before.part]
  if (state === undefined) return { ...before, found: [], looked: 0, isDone: true }
  const { records, states } = createWebhookKeys(keys).ledger(task.webhook)
  const range = [`(${before.at}`, task.upTo ?? '+inf', 'LIMIT', 0, pageSize] as const
  const page = (await redis.call('ZRANGEBYSCORE', states[state], ...range)) as string[]
  const last = page.at(-1)
  if (last === undefined) {
    const part = before.part + 1
    return { found: [], looked: 0, part, at: task.after, isDone: part >= failedStates.length }
  }
  const at = seqOf(last)
  const ids = new Set(page)
  // Of several with one number, a page may hold only some.
  for (const id of (await redis.call('ZRANGEBYSCORE', states[state], at, at)) as string[]) ids.add(id)
  const stored = (await redis.call('HMGET', records, ...ids)) as (string | null)[]
  const { first } = await reader.bounds()
  // An event that was sent again and failed again is sent once; tests and current objects share numbers with other events.
  const found = new Map<string, Repeated>()
  const counts = new Map<number, number>()
  for (const [n, id] of [...ids].entries()) {
    const text = stored[n]
    if (!text) continue
    const delivery = parseDelivery(text)
    const seq = seqOf(id)
    if (!isWanted(delivery, task) || (delivery.body === undefined && seq < first)) continue
    const { event, scope, body, object, cursor = id } = delivery
    const nth = found.get(`${seq} ${event}`)?.nth ?? counts.get(seq) ?? before.part * mostAlike
    counts.set(seq, Math.max(nth + 1, counts.get(seq) ?? 0))
    found.set(`${seq} ${event}`, {
      seq,
      nth,
      event,
      cursor,
      repeats: id,
      ...(scope === undefined ? {} : { scope }),
      ...(body === undefined ? {} : { body }),
      ...(object === undefined || !subscriber.isOrdered ? {} : { object }),
    })
  }
  return { found: [...found.values()], looked: ids.size, part: before.part, at, isDone: false }
}

function seqOf(id: string): number {
  return parsePosition(id).seq
}

function isWanted(
  { endedAt = 0, attempts }: Delivery,
  { since = 0, until = Number.POSITIVE_INFINITY, errors }: Task,
): boolean {
  if (endedAt < since || endedAt > until) return false
  const last = attempts.at(-1)?.error
  return errors === undefined || (last !== undefined && errors.includes(last))
}

function planRepeats({ id: task, webhook }: Task, found: readonly Repeated[], { id }: Subscriber, now: number) {
  const jobs: PlannedJob[] = []
  for (const same of Map.groupBy(found, ({ nth }) => nth).values()) {
    for (let i = 0; i < same.length; i += maxJobSize) jobs.push(planJob(id, task, same.slice(i, i + maxJobSize), now))
  }
  return webhook === id ? jobs : []
}

/** @param found of those with one number, all the `nth`. */
function planJob(webhook: string, task: string, found: readonly Repeated[], now: number): PlannedJob {
  const [first] = found
  const epoch = first === undefined || first.nth === 0 ? task : `${task}${first.nth.toString(36)}`
  const group = first?.seq.toString(36) ?? ''
  const planned: PlannedJob = { job: { webhook, epoch, group, attempt: 0, seqs: [] }, deliveries: [] }
  for (const { seq, nth: _, ...rest } of found) {
    const own = formatPosition({ epoch, seq })
    const record = formatDelivery({ state: 'pending', acceptedAt: now, group, attempts: [], ...rest })
    planned.job.seqs.push(seq)
    const place = rest.object === undefined ? {} : { place: lineMember(rest, own) }
    planned.deliveries.push({ seq, id: own, record, ...place })
  }
  return planned
}
