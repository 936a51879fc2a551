import type { History } from './history.ts'
import { isLive, readEvidence } from './validators/evidence.ts'

/** How often something happened, by name. */
export type Tally = Map<string, number>

/** Counts what a history exercised, so that nobody takes a run that tested nothing for a proof. */
export function tallyHistory(history: History): Tally {
  const { entries, gaps } = readEvidence(history)
  const tally: Tally = new Map()
  const add = (name: string, count: number) => {
    if (count > 0) tally.set(name, (tally.get(name) ?? 0) + count)
  }
  add('histories', 1)
  add('changes in the cluster', history.versions.length)
  add('events', entries.filter(({ event }) => isLive(event)).length)
  add('events found by a relist', entries.filter(({ event }) => event.synthetic === 'relist').length)
  add('lease expiries', entries.filter(({ event }) => event.synthetic === 'clock').length)
  for (const { reason } of gaps) add(`gaps: ${reason}`, 1)
  add(
    'appends of a part of a relist',
    history.deeds.filter((deed) => deed.type === 'append' && isPart(deed.batch.note)).length,
  )
  add('takeovers', countTakeovers(history))
  add('new epochs', history.deeds.filter(({ type }) => type === 'epoch').length)
  for (const { told } of history.subscribers) {
    add('entries read', told.filter(({ type }) => type === 'event').length)
    add('resets told', told.filter(({ type }) => type === 'reset').length)
  }
  for (const [name, count] of history.exercised) add(`fault: ${name}`, count)
  return tally
}

function isPart(note: string): boolean {
  return note.includes('"unfinished"')
}

function countTakeovers(history: History): number {
  const fences = new Map<string, Set<string>>()
  for (const deed of history.deeds) {
    if (deed.type !== 'append') continue
    fences.set(deed.feed, (fences.get(deed.feed) ?? new Set()).add(`${deed.batch.epoch} ${deed.batch.fence}`))
  }
  return [...fences.values()].reduce((total, { size }) => total + size - 1, 0)
}

export function mergeTally(into: Tally, from: Iterable<[string, number]>): void {
  for (const [name, count] of from) into.set(name, (into.get(name) ?? 0) + count)
}
