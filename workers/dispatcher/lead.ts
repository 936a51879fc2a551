import { createLogReader, followLog, type LogEntry } from '../../shared/log/reader.ts'
import { formatPosition, type Position, parsePosition } from '../../shared/position.ts'
import { parseSnapshot } from '../../shared/webhook/snapshot.ts'
import { createWebhookStore } from '../../shared/webhook/store.ts'
import { createCatchUp } from './catch-up.ts'
import type { DispatcherDeps } from './dispatcher.ts'
import { createErrands } from './errands.ts'
import { createHolding } from './holding.ts'
import { createLosses } from './losses.ts'
import { matchEntries, type PlannedJob, type Subscriber } from './match.ts'
import { followingOf, placeIn } from './place.ts'
import type { Lead, Progress, Step } from './progress.ts'
import { createRoster } from './roster.ts'
import { findOverdue } from './sweep.ts'
import { createTurns } from './turns.ts'

/** The lead is over: another dispatcher has it, or Redis is not where this one left it. The way on is to claim again. */
export class LeadLost extends Error {
  override readonly name = 'LeadLost'
}

/** Deliveries per commit: keeps one script near 10 ms. */
const commitSize = 2000
const pageSize = 500
/** How soon an idle dispatcher takes up a new webhook that starts in the past, in ms. */
const block = 500
const sweepEvery = 5 * 60_000

/**
 * Dispatches for as long as the lease is ours. Every step is accepted atomically with the position behind it, then queued,
 * then taken out of the outbox: a crash between any two of these is made good by whoever leads next.
 * @throws LeadLost, or whatever Redis rejects with.
 */
export async function lead(deps: DispatcherDeps, progress: Progress, first: Lead, stop: AbortSignal): Promise<void> {
  const { redis, keys, log, enqueue, now, leaseMs, owner } = deps
  const reader = createLogReader(redis, keys)
  const roster = createRoster(createWebhookStore(redis, keys))
  const inTurn = createTurns()
  const over = new AbortController()
  const signal = AbortSignal.any([stop, over.signal])

  let fence = first.fence
  let claimedAt = now()
  let sweptAt = 0
  let stored = first.position
  let position: Position
  const followers = new Map(first.followers)
  const live = new Set<string>()
  const admitted = new Set<string>()
  const catching = new Map<string, Promise<void>>()
  let subscribers: Subscriber[] = []

  const accept = async (step: Omit<Step, 'fence'>) => {
    const answer = await progress.accept({ ...step, fence })
    if (answer === 'fenced' || answer === 'conflict') throw new LeadLost(answer)
    await send(step.jobs)
  }
  const send = async (jobs: readonly PlannedJob[]) => {
    const ready = holding.keep(jobs)
    if (ready.length > 0) await progress.sent(await enqueue(ready))
  }
  const holding = createHolding((id) => {
    const sent = inTurn(async () => {
      const job = holding.take(id)
      if (job !== undefined && !signal.aborted) await progress.sent(await enqueue([job]))
    })
    sent.catch((error: unknown) => over.abort(error))
  })
  const flushOutbox = async () => {
    const decided = Object.entries(await progress.outbox())
    const jobs = decided.flatMap(([id, job]) => (holding.has(id) ? [] : [job]))
    for (let i = 0; i < jobs.length; i += pageSize) {
      const page = jobs.slice(i, i + pageSize)
      await progress.sent(await enqueue(page.map((job) => JSON.parse(job))))
    }
  }
  const moveTo = async (to: Position, step: Pick<Step, 'jobs' | 'lost' | 'notes'>) => {
    const cursor = formatPosition(to)
    await accept({ of: 'main', from: stored, to: cursor, admitted: [...admitted], ...step })
    for (const id of admitted) followers.set(id, 'live')
    admitted.clear()
    stored = cursor
    position = to
  }
  const renew = async () => {
    if (now() - claimedAt < leaseMs / 3) return
    const claim = await progress.claim(owner, leaseMs)
    if (claim.held) throw new LeadLost('held')
    fence = claim.fence
    claimedAt = now()
  }
  const listSubscribers = () => {
    subscribers = [...live].flatMap((id) => roster.get(id) ?? [])
  }
  const fields = new Map(first.fields)
  const losses = createLosses({ dispatcher: deps, reader, roster, fields })
  const errands = createErrands({
    dispatcher: deps,
    reader,
    roster,
    fields,
    inTurn,
    signal,
    position: () => position,
    accept,
    fail: (error) => over.abort(error),
  })
  const catchUp = createCatchUp({
    dispatcher: deps,
    reader,
    roster,
    losses,
    followers,
    inTurn,
    signal,
    position: () => position,
    accept,
    join: (id) => {
      live.add(id)
      listSubscribers()
    },
  })
  /** Takes up webhooks and tasks that are new. Runs after the entries were read, so that a webhook sees all that comes after it. */
  const refresh = async (isFirst = false) => {
    if (!(await roster.refresh()) && !isFirst) return
    const bounds = await reader.bounds()
    for (const id of roster.ids()) {
      const subscriber = roster.get(id)
      if (subscriber === undefined || live.has(id) || catching.has(id)) continue
      const stored = followers.get(id)
      const withState = stored === undefined ? subscriber.snapshot !== undefined : parseSnapshot(stored) !== undefined
      const following = withState ? 'behind' : followingOf(stored, subscriber.start, position, bounds)
      if (following === 'live') {
        live.add(id)
        if (followers.get(id) !== 'live') admitted.add(id)
      } else {
        const task = catchUp(id)
          .catch((error: unknown) => over.abort(error))
          .finally(() => catching.delete(id))
        catching.set(id, task)
      }
    }
    listSubscribers()
    await flushOutbox()
    await errands.look()
  }
  const dispatch = async (entries: readonly LogEntry[]) => {
    let rest = entries
    while (rest.length > 0) {
      const { jobs, last } = matchEntries(position.epoch, rest, subscribers, commitSize, now(), holding.open)
      await moveTo({ epoch: position.epoch, seq: last }, { jobs })
      rest = rest.filter(({ seq }) => seq > last)
    }
  }
  const sweep = async () => {
    if (now() - sweptAt < sweepEvery) return
    sweptAt = now()
    const jobs = await findOverdue(redis, keys, roster.ids(), now())
    if (jobs.length > 0) await enqueue(jobs)
  }

  /** What was lost to the dispatcher was lost to all that follow it. */
  const passAll = async (to: Position, lost: number) => {
    await roster.refresh()
    const affected = [...roster.ids()].filter((id) => followers.get(id) === 'live')
    return Promise.all(affected.map((id) => losses.pass(id, to.seq - lost, to.seq, to)))
  }

  const bounds = await reader.bounds()
  const place =
    stored === undefined
      ? { position: { epoch: bounds.epoch, seq: bounds.last }, lost: 0 }
      : placeIn(bounds, parsePosition(stored))
  position = place.position
  const cursor = formatPosition(position)
  if (stored !== cursor) {
    // The same number in another epoch: the log moved to another server, or this one was restarted, and nothing is missing.
    const isMoved = stored !== undefined && parsePosition(stored).seq === position.seq
    const lost = stored === undefined || isMoved ? undefined : `${stored} to ${cursor}: ${place.lost} entries lost`
    if (lost !== undefined) log.error({ from: stored, to: cursor, lost: place.lost }, 'the log was reset')
    const passings = place.lost === 0 ? [] : await passAll(position, place.lost)
    const jobs = passings.flatMap((passing) => passing.jobs)
    const notes = passings.flatMap((passing) => passing.notes)
    await moveTo(position, { jobs, notes, ...(lost === undefined ? {} : { lost }) })
  }
  await inTurn(() => refresh(true))

  try {
    for await (const step of followLog(deps.tail, keys, position, { signal, block, limit: pageSize })) {
      await renew()
      // Whoever leads next, ourselves included, finds its place from what is stored.
      if (step.type === 'reset') throw new LeadLost('reset')
      if ((step.type === 'entries' ? step.epoch : step.position.epoch) !== position.epoch) throw new LeadLost('epoch')
      await inTurn(async () => {
        await refresh()
        if (step.type === 'entries') await dispatch(step.entries)
        else await sweep()
      })
    }
  } finally {
    over.abort()
    holding.close()
    await Promise.all([...catching.values(), errands.ended()])
  }
  // A webhook that could not catch up ends the lead as any other failure does.
  if (!stop.aborted) throw over.signal.reason
}
