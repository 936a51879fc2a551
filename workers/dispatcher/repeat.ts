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

/** One that is to be sent once more. */
type Repeated = Pick<Delivery, 'event' | 'scope' | 'object' | 'body' | 'cursor' | 'repeats'> & { seq: number }

const pageSize = 500

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
  const entries = (await reader.read(before.at, pageSize)).filter(({ seq }) => seq <= task.upTo)
  const found = entries.flatMap(({ seq, json }): Repeated[] => {
    const event = JSON.parse(json) as RelayEvent
    const scope = matches(event)
    if (scope === undefined) return []
    const object = subscriber.isOrdered ? { object: lineOf(event) } : {}
    const cursor = formatPosition({ epoch: position.epoch, seq })
    return [{ seq, event: event.id, cursor, ...object, ...(scope === 'in' ? {} : { scope }) }]
  })
  const at = entries.at(-1)?.seq ?? task.upTo
  return { found, looked: entries.length, part: 0, at, isDone: at >= task.upTo }
}

const readFailed: Read = async ({ redis, keys, reader }, task, before, subscriber) => {
  const state = failedStates[before.part]
  if (state === undefined) return { ...before, found: [], looked: 0, isDone: true }
  const { records, states } = createWebhookKeys(keys).ledger(task.webhook)
  const range = [`(${before.at}`, task.upTo, 'LIMIT', 0, pageSize] as const
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
  const found = new Map<number, Repeated>()
  for (const [n, id] of [...ids].entries()) {
    const text = stored[n]
    if (!text) continue
    const delivery = parseDelivery(text)
    const seq = seqOf(id)
    if (!isWanted(delivery, task) || (delivery.body === undefined && seq < first)) continue
    const { event, scope, body, object, cursor = id } = delivery
    found.set(seq, {
      seq,
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

function isWanted({ endedAt = 0, attempts }: Delivery, { since = 0, errors }: Task): boolean {
  if (endedAt < since) return false
  const last = attempts.at(-1)?.error
  return errors === undefined || (last !== undefined && errors.includes(last))
}

function planRepeats({ id: epoch, webhook }: Task, found: readonly Repeated[], { id }: Subscriber, now: number) {
  const jobs: PlannedJob[] = []
  for (let i = 0; i < found.length; i += maxJobSize) {
    const group = found[i]?.seq.toString(36) ?? ''
    const planned: PlannedJob = { job: { webhook: id, epoch, group, attempt: 0, seqs: [] }, deliveries: [] }
    for (const { seq, ...rest } of found.slice(i, i + maxJobSize)) {
      const own = formatPosition({ epoch, seq })
      const record = formatDelivery({ state: 'pending', acceptedAt: now, group, attempts: [], ...rest })
      planned.job.seqs.push(seq)
      const place = rest.object === undefined ? {} : { place: lineMember(rest, own) }
      planned.deliveries.push({ seq, id: own, record, ...place })
    }
    jobs.push(planned)
  }
  return webhook === id ? jobs : []
}
