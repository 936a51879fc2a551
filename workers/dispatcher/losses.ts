import type { LogReader } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'
import { formatLoss, type Loss, lossField, parseLoss } from '../../shared/webhook/loss.ts'
import { planOvertaken } from './announce.ts'
import type { DispatcherDeps } from './dispatcher.ts'
import type { PlannedJob } from './match.ts'
import type { Step } from './progress.ts'
import type { Roster } from './roster.ts'

/** Keeps account of what webhooks lose to retention. */
export interface Losses {
  /**
   * What belongs to the step with which a webhook passes over entries that are gone: the note of it, and the deliveries that
   * tell of it. The step has to be accepted, or the lead to end.
   * @param after the last entry before those that are lost; `upTo` is the last of them.
   * @param position the dispatcher's.
   */
  pass(webhook: string, after: number, upTo: number, position: Position): Promise<Passing>
}

export interface Passing {
  jobs: PlannedJob[]
  notes: NonNullable<Step['notes']>
}

/** A webhook that is overtaken again and again is told of as often, in ms; each time of all that was lost so far. */
const tellEvery = 60_000

/**
 * Creates the account of one lead.
 * @param deps.fields of the dispatcher's hash, kept up to date.
 */
export function createLosses(deps: {
  dispatcher: Pick<DispatcherDeps, 'cluster' | 'log' | 'now'>
  reader: Pick<LogReader, 'toCursor'>
  roster: Roster
  fields: Map<string, string>
}): Losses {
  const { roster, fields, reader } = deps
  const { cluster, log, now } = deps.dispatcher
  return {
    async pass(webhook, after, upTo, position) {
      const lost = upTo - after
      if (lost <= 0) return { jobs: [], notes: [] }
      log.warn({ webhook, lost }, 'a webhook was overtaken by retention')
      const field = lossField(webhook)
      const stored = fields.get(field)
      const time = now()
      const before: Loss =
        stored === undefined
          ? { events: 0, from: after, to: upTo, since: time, latest: time, toldAt: 0 }
          : parseLoss(stored)
      const isTold = before.toldAt + tellEvery <= time
      const loss = {
        ...before,
        events: before.events + lost,
        to: upTo,
        latest: time,
        ...(isTold ? { toldAt: time } : {}),
      }
      const value = formatLoss(loss)
      fields.set(field, value)
      const notes = [{ field, value }]
      if (!isTold) return { jobs: [], notes }
      const { epoch } = position
      const [from, to] = await Promise.all([loss.from, loss.to].map((seq) => reader.toCursor({ epoch, seq })))
      const told = { events: loss.events, from, to, since: loss.since }
      const subscribers = [...roster.ids()].flatMap((id) => roster.get(id) ?? [])
      const tenant = roster.get(webhook)?.tenant
      return { jobs: planOvertaken(cluster, { id: webhook, tenant }, told, subscribers, position, time), notes }
    },
  }
}
