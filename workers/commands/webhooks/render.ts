import type { DeliveryView, ExplanationView, Rehearsal, TaskView, WebhookView } from './client.ts'

/** One line about a webhook. */
export function renderWebhook({ id, url, enabled, disabledReason, failingSince, lost, filter }: WebhookView): string {
  const off = disabledReason === undefined ? 'off' : `off (${disabledReason})`
  const state = !enabled ? off : failingSince === undefined ? 'on' : `failing since ${failingSince}`
  const gap = lost === undefined ? [] : [`${lost.events} events lost to retention`]
  return [id, state, ...gap, url, renderFilter(filter)].join('  ')
}

/** One line about a delivery: when, how it stands, how the last attempt went, which event. */
export function renderDelivery({ id, acceptedAt, state, attempts, eventId, nextAttemptAt }: DeliveryView): string {
  const last = attempts.at(-1)
  const tries = attempts.length > 1 ? ` (attempt ${attempts.length})` : ''
  const how = last === undefined ? '-' : `${last.error ?? last.status} ${last.latencyMs} ms${tries}`
  const next = nextAttemptAt === undefined ? '' : `  next ${nextAttemptAt}`
  return `${last?.at ?? acceptedAt}  ${state.padEnd(10)}  ${how}  ${eventId}  ${id}${next}`
}

/** Lines `name  value` for everything that an answer holds. */
export function renderFields(fields: Readonly<Record<string, unknown>>): string {
  const width = Math.max(...Object.keys(fields).map((name) => name.length))
  return Object.entries(fields)
    .map(([name, value]) => `${name.padEnd(width)}  ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join('\n')
}

function renderFilter(filter: WebhookView['filter']): string {
  const clauses = Object.entries(filter).map(([name, value]) => `${name}=${[value].flat().join(',')}`)
  return clauses.length === 0 ? 'every event' : clauses.join(' ')
}

/** The verdict, what each clause says, and the deliveries that there were. */
export function renderExplanation({ verdict, detail, clauses = [], deliveries }: ExplanationView): string {
  const told = clauses.map(({ clause, passes }) => `  ${passes ? 'passes' : 'STOPS '}  ${clause}`)
  return [`${verdict}: ${detail}`, ...told, ...deliveries.map(renderDelivery)].join('\n')
}

/** How much a webhook would have been sent, and the newest of it. */
export function renderRehearsal({ history }: Rehearsal): string {
  const { since, looked, matched, isComplete, latest } = history
  const most = isComplete ? '' : ', the most that is looked at'
  const events = latest.map(({ time, type, subject, id }) => `  ${time}  ${type}  ${subject}  ${id}`)
  return [`${matched} of ${looked} events since ${since}${most}; nothing was registered.`, ...events].join('\n')
}

/** One line about a replay or a recovery. */
export function renderTask({ state, accepted, looked }: TaskView): string {
  const how = state === 'done' ? '' : ` (${state})`
  return `${accepted} deliveries added, ${looked} looked at${how}.`
}
