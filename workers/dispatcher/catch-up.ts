import { setTimeout as sleep } from 'node:timers/promises'
import type { LogReader } from '../../shared/log/reader.ts'
import { formatPosition, type Position, parsePosition } from '../../shared/position.ts'
import { toRecord } from '../../shared/redis.ts'
import { createStateReader } from '../../shared/state.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import { formatSnapshot, parseSnapshot, snapshotField } from '../../shared/webhook/snapshot.ts'
import type { DispatcherDeps } from './dispatcher.ts'
import type { Losses } from './losses.ts'
import { matchEntries, type Subscriber } from './match.ts'
import { followingOf } from './place.ts'
import type { Step } from './progress.ts'
import type { Roster } from './roster.ts'
import { readSnapshot } from './snapshot.ts'
import type { Turn } from './turns.ts'

export interface CatchUpDeps {
  dispatcher: DispatcherDeps
  reader: LogReader
  roster: Roster
  losses: Losses
  /** Per webhook, what the dispatcher's hash holds; kept up to date. */
  followers: Map<string, string>
  inTurn: Turn
  signal: AbortSignal
  /** The dispatcher's own. */
  position(): Position
  /** Fails when the lead is lost. */
  accept(step: Omit<Step, 'fence'>): Promise<void>
  /** The webhook follows at the dispatcher's own position from here on. Called within a turn. */
  join(webhook: string): void
}

const pageSize = 500
/** Deliveries per commit: keeps one script near 10 ms. */
const commitSize = 2000
/** How much of the state may wait to be sent: these deliveries carry bodies, and a dead endpoint is not to fill Redis with them. */
const window = 2000
/** How soon to look again whether there is more to do, in ms. */
const pause = 200

/**
 * Creates what brings a webhook that starts elsewhere than at the present up to it, page by page between the steps of the
 * others: first, where it asked for them, through the current objects, then through the log. Ends early when the webhook is
 * turned off or the lead ends; whoever takes it up again goes on from what is stored.
 */
export function createCatchUp(deps: CatchUpDeps): (webhook: string) => Promise<void> {
  const { dispatcher, reader, roster, losses, followers, inTurn, signal, accept } = deps
  const { redis, keys, cluster, now } = dispatcher
  const state = createStateReader(redis, keys)
  const ledger = (id: string) => createWebhookKeys(keys).ledger(id)
  const rest = () => sleep(pause, undefined, { signal }).catch(() => undefined)

  const isFull = async (id: string) => Number(await redis.call('ZCARD', ledger(id).states.pending)) >= window
  const tellPage = async (id: string, subscriber: Subscriber) => {
    const stored = followers.get(id)
    const before = stored === undefined ? undefined : parseSnapshot(stored)
    const page = await readSnapshot({ state, cluster, now: now() }, subscriber, before)
    const { jobs, changed, told, until, next, isAnew } = page
    const to = next === undefined ? formatPosition(subscriber.start) : formatSnapshot(next)
    const notes = [{ field: snapshotField(id), value: `${told} ${until}` }]
    // Once all is told, another filter would come too late to tell the rest of what it lets through.
    const last = next === undefined && subscriber.snapshot !== undefined ? { record: subscriber.snapshot.record } : {}
    const anew = isAnew ? { isTold: true } : {}
    await accept({ of: { webhook: id }, from: stored, to, jobs, admitted: [], notes, told: changed, ...anew, ...last })
    followers.set(id, to)
  }
  const isTelling = (id: string, { snapshot }: Subscriber) => {
    const stored = followers.get(id)
    return stored === undefined ? snapshot !== undefined : parseSnapshot(stored) !== undefined
  }
  const readTold = async (id: string, { snapshot }: Subscriber) => {
    const told = new Map<string, number>()
    if (snapshot === undefined) return told
    // True in every life of the log: a Redis that goes back in time takes these along.
    const stored = toRecord(await redis.call('HGETALL', ledger(id).told))
    for (const [object, seq] of Object.entries(stored)) told.set(object, Number(seq))
    return told
  }
  /** Runs `work` in turns for as long as it answers that there is more. False: the webhook, or the lead, is gone. */
  const repeat = async (id: string, work: (subscriber: Subscriber) => Promise<'more' | 'wait' | 'done'>) => {
    for (;;) {
      const answer = await inTurn(async () => {
        const subscriber = roster.get(id)
        return signal.aborted || subscriber === undefined ? 'gone' : await work(subscriber)
      })
      if (answer === 'gone' || answer === 'done') return answer === 'done'
      if (answer === 'wait') await rest()
    }
  }

  return async (id) => {
    const isTold = await repeat(id, async (subscriber) => {
      if (!isTelling(id, subscriber)) return 'done'
      if (await isFull(id)) return 'wait'
      await tellPage(id, subscriber)
      return 'more'
    })
    if (!isTold) return
    let at: Position | undefined
    /** The last entry that was looked at, or that was lost before. */
    let seen = 0
    let told: ReadonlyMap<string, number> | undefined
    let until = 0
    await repeat(id, async (subscriber) => {
      const position = deps.position()
      if (at === undefined) {
        const bounds = await reader.bounds()
        const stored = followers.get(id)
        at = placeOf(followingOf(stored, subscriber.start, position, bounds), position)
        seen = Math.min(at.seq, stored === undefined ? subscriber.start.seq : parsePosition(stored).seq)
      }
      if (told === undefined) {
        told = await readTold(id, subscriber)
        for (const seq of told.values()) until = Math.max(until, seq)
      }
      const step = { of: { webhook: id }, from: followers.get(id), admitted: [] }
      if (at.seq >= position.seq) {
        if (at.seq < until) return 'wait'
        const passing = await losses.pass(id, seen, at.seq, position)
        await accept({ ...step, to: 'live', ...passing, isTold: true })
        followers.set(id, 'live')
        deps.join(id)
        return 'done'
      }
      const entries = (await reader.read(at.seq, pageSize)).filter(({ seq }) => seq <= position.seq)
      const oldest = entries[0]?.seq ?? position.seq + 1
      const passing = await losses.pass(id, seen, oldest - 1, position)
      const reading = told.size === 0 ? subscriber : { ...subscriber, told }
      const { jobs, last } = matchEntries(position.epoch, entries, [reading], commitSize, now())
      at = { epoch: position.epoch, seq: Math.max(last, oldest - 1) }
      seen = at.seq
      const to = formatPosition(at)
      await accept({ ...step, to, jobs: [...passing.jobs, ...jobs], notes: passing.notes })
      followers.set(id, to)
      return 'more'
    })
  }
}

function placeOf(following: ReturnType<typeof followingOf>, position: Position): Position {
  return following === 'live' ? position : following
}
