import type { LogReader } from '../../shared/log/reader.ts'
import { parsePosition } from '../../shared/position.ts'
import type { Attempt } from '../../shared/webhook/delivery.ts'
import type { Health, ListedDelivery } from '../../shared/webhook/ledger.ts'
import type { Loss } from '../../shared/webhook/loss.ts'
import type { Task, TaskProgress } from '../../shared/webhook/task.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'

/** What anybody may see of a webhook: neither its secrets nor what it sends in headers. */
export async function viewWebhook(
  reader: Pick<LogReader, 'toCursor' | 'bounds'>,
  { secrets: _, owner: __, headers, schedule, state, start, ...rest }: Webhook,
  { health = {}, loss }: { health?: Health | undefined; loss?: Loss | undefined } = {},
) {
  const { failingSince, pausedUntil } = health
  return {
    ...rest,
    start: await reader.toCursor(parsePosition(start)),
    ...(state === undefined ? {} : { startsWithState: true as const }),
    ...(schedule === undefined ? {} : { schedule: schedule.map((ms) => ms / 1000) }),
    ...(headers === undefined ? {} : { headers: Object.keys(headers) }),
    ...(failingSince === undefined ? {} : { failingSince: toTime(failingSince) }),
    ...(pausedUntil === undefined ? {} : { pausedUntil: toTime(pausedUntil) }),
    ...(loss === undefined ? {} : { lost: await viewLoss(reader, loss) }),
  }
}

async function viewLoss(reader: Pick<LogReader, 'bounds'>, { events, from, to, since, latest }: Loss) {
  const { epoch, seal } = await reader.bounds()
  const place = (seq: number) => seal.toCursor({ epoch, seq })
  return { events, from: place(from), to: place(to), since: toTime(since), latest: toTime(latest) }
}

/** A delivery with its attempts. */
export function viewDelivery(delivery: ListedDelivery) {
  const { id, event, state, reason, scope, object, repeats, due, acceptedAt, endedAt, attempts } = delivery
  return {
    id,
    eventId: event,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(scope === undefined ? {} : { scope }),
    ...(object === undefined ? {} : { object }),
    ...(repeats === undefined ? {} : { repeats }),
    acceptedAt: toTime(acceptedAt),
    ...(endedAt === undefined ? {} : { endedAt: toTime(endedAt) }),
    ...(due === undefined ? {} : { nextAttemptAt: toTime(due) }),
    attempts: attempts.map((attempt: Attempt) => ({ ...attempt, at: toTime(attempt.at) })),
  }
}

export function viewTask({ id, kind, createdAt, cancelledAt }: Task, progress: TaskProgress) {
  const { isDone, isCancelled, looked, accepted } = progress
  const open = cancelledAt === undefined ? ('running' as const) : ('cancelled' as const)
  const state = isCancelled ? ('cancelled' as const) : isDone ? ('done' as const) : open
  return { id, kind, createdAt, state, looked, accepted }
}

export function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
