import { gapType, type RelayEvent } from '../../../shared/event.ts'
import type { History } from '../history.ts'
import type { Told } from '../subscriber.ts'
import { readEvidence } from './evidence.ts'

/** What a subscriber was told since it last was told to start over. */
function sinceReset(told: readonly Told[]): { start: Told | undefined; rest: Told[] } {
  const at = told.findLastIndex(({ type }) => type === 'start' || type === 'reset')
  return { start: told[at], rest: told.slice(at + 1) }
}

/** Resumable: across all disconnects a subscriber without a filter reads every entry once and in order, and is told wherever it cannot. */
export function checkResumable(history: History): string[] {
  const { entries } = readEvidence(history)
  const found: string[] = []
  const hasMoved = history.deeds.some(({ type }) => type !== 'append')
  for (const [index, { filter, told, seq }] of history.subscribers.entries()) {
    const name = `subscriber ${index}`
    if (seq !== entries.length) found.push(`${name} ended at ${seq} of ${entries.length}`)
    if (!hasMoved && history.first === 1 && told.some(({ type }) => type === 'reset')) {
      found.push(`${name} was sent back without need`)
    }
    if (Object.keys(filter).length > 0) continue
    const { start, rest } = sinceReset(told)
    let next = (start?.seq ?? 0) + 1
    for (const one of rest) {
      if (one.type !== 'event') continue
      if (one.seq !== next) found.push(`${name} read entry ${one.seq} where ${next} follows`)
      if (entries[one.seq - 1]?.json !== one.json) found.push(`${name} read an entry ${one.seq} that the log has lost`)
      next = one.seq + 1
    }
  }
  return found
}

/** Filter-correct: a subscriber with a filter is told exactly what the filter, read naively, lets through, and with the right scope. */
export function checkFilter(history: History): string[] {
  const { entries } = readEvidence(history)
  const found: string[] = []
  for (const [index, { filter, told, seq }] of history.subscribers.entries()) {
    const { start, rest } = sinceReset(told)
    const expected = entries
      .slice(start?.seq ?? 0, seq)
      .flatMap((entry) => {
        const scope = judge(filter, entry.event)
        return scope === undefined ? [] : [`${entry.seq} ${scope}`]
      })
      .join()
    const got = rest.flatMap((one) => (one.type === 'event' ? [`${one.seq} ${one.scope}`] : [])).join()
    if (got !== expected) found.push(`subscriber ${index} with ${JSON.stringify(filter)} got ${got}, not ${expected}`)
  }
  return found
}

/** The filter's meaning, written down a second time and as plainly as can be. */
function judge(filter: Record<string, string>, event: RelayEvent): string | undefined {
  if (event.type === gapType) return 'in'
  const { data } = event
  const among = (clause: string, value: unknown) =>
    filter[clause] === undefined || filter[clause].split(',').some((wanted) => wanted === value)
  if (!among('resource', event.source.split('/').at(-1)) || !among('namespace', data.namespace)) return undefined
  if (!among('phase', data.phase)) return undefined
  const types = filter.type?.split(',')
  if (types !== undefined && !types.some((type) => event.type.startsWith(type.replace('*', '')))) return undefined
  const kinds = filter.change?.split(',')
  if (kinds !== undefined && !data.changes.some(({ type }) => kinds.includes(type))) return undefined
  const to = filter['phase.to']
  if (to !== undefined && !data.changes.some((change) => change.type === 'phase' && change.to === to)) return undefined
  if (filter.labelSelector === undefined) return 'in'
  const [label = '', value] = filter.labelSelector.split('=')
  const change = data.changes.find(({ type }) => type === 'labels')
  const is = data.labels?.[label] === value
  const was = change === undefined ? is : (change.from as Record<string, string>)[label] === value
  if (is && was) return 'in'
  return is ? 'entered' : was ? 'left' : undefined
}
