import { setTimeout as sleep } from 'node:timers/promises'
import type { LogReader } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'
import { keepEnded } from '../../shared/webhook/ledger.ts'
import { createTaskStore, formatProgress, parseProgress, type Task, taskField } from '../../shared/webhook/task.ts'
import { createLedgerWork } from '../ledger/work.ts'
import { planAnnouncement } from './announce.ts'
import type { DispatcherDeps } from './dispatcher.ts'
import type { Step } from './progress.ts'
import { planTask } from './repeat.ts'
import { lookAgainAfter, retire } from './retire.ts'
import type { Roster } from './roster.ts'
import type { Turn } from './turns.ts'

/** What a dispatcher does beside following the log. */
export interface Errands {
  /**
   * Takes up what is new: tells of endpoints that were turned off, ends what waits for them, and goes on with tasks. Runs in
   * a turn of its caller.
   */
  look(): Promise<void>
  /** Settles when nothing is under way any more. */
  ended(): Promise<void>
}

/**
 * Creates the errands of one lead. Each step is accepted together with the place behind it, as are those of the log: whoever
 * leads next goes on with what was begun, and doubles nothing.
 * @param deps.accept fails when the lead is lost.
 * @param deps.fields of the dispatcher's hash, kept up to date.
 */
export function createErrands(deps: {
  dispatcher: DispatcherDeps
  reader: LogReader
  roster: Roster
  fields: Map<string, string>
  inTurn: Turn
  signal: AbortSignal
  position(): Position
  accept(step: Omit<Step, 'fence'>): Promise<void>
  fail(error: unknown): void
}): Errands {
  const { roster, fields, inTurn, signal } = deps
  const { redis, keys, cluster, now } = deps.dispatcher
  const tasks = createTaskStore(redis, keys)
  const running = new Map<string, Promise<void>>()
  const cancelled = new Set<string>()
  const ledger = createLedgerWork(redis, keys, { keep: keepEnded, events: new Map() })

  const announce = async () => {
    for (const webhook of roster.disabled()) {
      const { id, disabledAt = '' } = webhook
      const field = `said:${id}`
      if (fields.get(field) === disabledAt) continue
      const subscribers = [...roster.ids()].flatMap((other) => roster.get(other) ?? [])
      const jobs = planAnnouncement(cluster, webhook, subscribers, deps.position(), now())
      await deps.accept({ of: { field }, from: fields.get(field), to: disabledAt, jobs, admitted: [] })
      fields.set(field, disabledAt)
    }
  }
  const run = async (task: Task, begun: string | undefined) => {
    const field = taskField(task.id)
    let text = begun
    let progress = parseProgress(text, task)
    while (!progress.isDone && !signal.aborted) {
      await inTurn(async () => {
        if (signal.aborted) return
        const subscriber = roster.get(task.webhook)
        const step =
          subscriber === undefined || cancelled.has(task.id)
            ? { jobs: [], progress: { ...progress, isDone: true, isCancelled: true } }
            : await planTask(
                { redis, keys, reader: deps.reader, position: deps.position(), now: now() },
                task,
                progress,
                subscriber,
              )
        const to = formatProgress(step.progress)
        await deps.accept({ of: { field }, from: text, to, jobs: step.jobs, admitted: [] })
        text = to
        progress = step.progress
      })
    }
  }

  const endWaiting = async (id: string, since: number) => {
    const isOff = () => !signal.aborted && roster.get(id) === undefined
    while (isOff() && (await retire({ redis, keys, ledger, now, signal }, id, since))) {
      await sleep(lookAgainAfter, undefined, { signal }).catch(() => undefined)
    }
  }
  const begin = (name: string, work: () => Promise<void>) => {
    if (running.has(name)) return
    const ended = work()
      .catch(deps.fail)
      .finally(() => running.delete(name))
    running.set(name, ended)
  }

  return {
    async look() {
      await announce()
      for (const { id, disabledAt } of roster.off()) {
        begin(id, () => endWaiting(id, disabledAt === undefined ? now() : Date.parse(disabledAt)))
      }
      for (const { task, progress, text } of await tasks.all()) {
        if (task.cancelledAt !== undefined) cancelled.add(task.id)
        if (!progress.isDone) begin(task.id, () => run(task, text))
      }
    },
    async ended() {
      await Promise.all(running.values())
    },
  }
}
