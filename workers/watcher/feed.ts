import type { ObjectData } from '../../shared/event.ts'
import type { Batch, Claim, LogWriter } from '../../shared/log/writer.ts'
import { type Clock, sleep } from '../clock.ts'
import type { KubeObject } from '../kube/object.ts'
import type { Normalizer } from '../normalize/normalizer.ts'
import type { Sink } from '../reflector/reflector.ts'
import type { GapReason } from '../reflector/state.ts'
import { createKnown, type Known, keyOf } from './known-set.ts'
import type { Ledger, Snapshot } from './ledger.ts'

/** How much a feed takes at once. */
export interface FeedLimits {
  /** Operations per append: beyond some hundreds the server gains nothing more, and others wait. */
  batch: number
  /** Changes that may wait before the watch is closed on purpose; it resumes from the cursor (R92). */
  backlog: number
}

const defaultLimits: FeedLimits = { batch: 500, backlog: 5000 }
/** How long what is no news may wait for more of its kind, ms. */
const restMs = 20
const retryMs = [100, 500, 1000, 2000, 5000]

/** What a feed stores beside its cursor. */
export interface FeedNote {
  clusterUid: string
  /** Set while a first sync is being written: what it finds is no news. */
  isFirstSync: boolean
  /** How often the server's history was replaced by an older one. */
  history: number
  /** Set while a relist is being written: beside a part of it, the cursor means nothing, and whoever takes over relists. */
  unfinished?: GapReason
}

/** Carries a reflector's findings into the log: normalized, in batches, one append at a time. */
export interface Feed extends Sink {
  expire(key: string, resourceVersion: string): void
  /** Resolves when everything that came in is in the log. */
  flush(): Promise<void>
  /** Takes nothing more; a running append is the last. */
  close(): void
}

type Delta =
  | { type: 'object'; data: ObjectData; gone: boolean; now: number }
  | { type: 'expiry'; key: string; resourceVersion: string; now: number }
  | { type: 'snapshot'; found: Omit<Snapshot, 'since' | 'isFirstSync'>; now: number; rest?: Generator<void> }
  | { type: 'cursor'; resourceVersion: string; now: number }

/** Creates a feed that writes under one claim. `onLost` is told once that the claim is no longer good: nothing was written then. */
export function createFeed(deps: {
  writer: LogWriter
  claim: Claim
  note: FeedNote
  ledger: Ledger
  normalizer: Normalizer
  onLost(outcome: 'fenced' | 'epoch' | 'conflict'): void
  /** Called with the reason while the log cannot be written, and without when it can again. */
  onTrouble(reason?: string): void
  onDeadLetter(bytes: Uint8Array): void
  /** Called when something waits to be stored. */
  onWaiting?(): void
  /** Called after each append; `since`: when the oldest change that still waits came, ms. */
  onStored?(since: number | undefined): void
  clock: Clock
  limits?: FeedLimits
}): Feed {
  const { writer, claim, ledger, normalizer, clock } = deps
  const limits = deps.limits ?? defaultLimits
  const { now } = clock
  const queue: Delta[] = []
  let staged = new Map<string, Known>()
  let note = deps.note
  let { batch, seq: seen, resourceVersion } = claim
  let pump: Promise<void> | undefined
  /** The changes in the batch that is being made. */
  let gathered = 0
  /** When the oldest of them came, ms. */
  let gatheredSince: number | undefined
  let isHurried = false
  /** Ends a rest. */
  let wake: (() => void) | undefined
  let isClosed = false
  let waiters: (() => void)[] = []

  function enqueue(delta: Delta): void {
    if (isClosed) return
    queue.push(delta)
    deps.onWaiting?.()
    if (pump === undefined) pump = run()
    else {
      gather()
      if (isPressing()) wake?.()
    }
  }

  /**
   * Appends whatever waits, until nothing does. While one append is under way the next batch is made: so load makes batches
   * and idleness makes none, and neither this process nor Redis waits for the other to do its part.
   */
  async function run(): Promise<void> {
    for (gather(); gathered > 0 && !isClosed; gather()) {
      const appending = append({
        fence: claim.fence,
        epoch: claim.epoch,
        batch: batch + 1,
        seen,
        resourceVersion,
        note: JSON.stringify({ ...note, history: ledger.history }),
        operations: ledger.take(),
      })
      gathered = 0
      gatheredSince = undefined
      gather()
      const answer = await appending
      if (answer === undefined) break
      if (answer.outcome !== 'ok' && answer.outcome !== 'duplicate') {
        isClosed = true
        deps.onLost(answer.outcome)
        break
      }
      batch++
      seen = answer.to
      deps.onStored?.(gatheredSince ?? queue[0]?.now)
      if (isShort()) release()
      if (gathered > 0 && !isPressing()) await rest()
    }
    pump = undefined
  }

  /** News, or enough of the rest. */
  const isPressing = () => isHurried || ledger.hasNews || queue.length > 0 || ledger.size >= limits.batch / 2

  /**
   * Lets a batch without events grow for a moment: an append costs both sides as much as dozens of renewals, which only move
   * the current state, and of which a large cluster has some in every millisecond.
   */
  async function rest(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = clock.after(restMs, resolve)
      wake = () => {
        cancel()
        resolve()
      }
    })
    wake = undefined
  }

  /** Moves changes from the queue into the batch that is being made, until that is full. */
  function gather(): void {
    while (queue.length > 0 && ledger.size < limits.batch) {
      const delta = queue[0] as Delta
      gathered++
      gatheredSince ??= delta.now
      if (delta.type === 'snapshot' && !reconcile(delta)) return
      queue.shift()
      if (delta.type === 'object') {
        ledger.follow(delta.data, delta.gone, delta.now)
        resourceVersion = delta.data.resourceVersion
      } else if (delta.type === 'cursor') resourceVersion = delta.resourceVersion
      else if (delta.type === 'expiry') ledger.expire(delta.key, delta.resourceVersion, delta.now)
    }
  }

  /** Moves a part of a snapshot; true when that was the last. Its version counts only once all of it is written. */
  function reconcile(delta: Extract<Delta, { type: 'snapshot' }>): boolean {
    if (delta.rest === undefined) {
      delta.rest = ledger.reconcile(
        { ...delta.found, since: resourceVersion, isFirstSync: note.isFirstSync },
        delta.now,
      )
      // At a first sync there is no cursor yet to be mistaken.
      if (resourceVersion !== '') note = { ...note, unfinished: delta.found.gap ?? 'expired' }
    }
    while (ledger.size < limits.batch) {
      if (delta.rest.next().done !== true) continue
      resourceVersion = delta.found.resourceVersion
      const { unfinished: _, ...rest } = note
      note = { ...rest, isFirstSync: false }
      return true
    }
    return false
  }

  /** Appends one batch, as often as it takes: a change is never dropped because Redis has a bad time. */
  async function append(next: Batch) {
    for (let attempt = 0; !isClosed; attempt++) {
      try {
        const answer = await writer.append(next)
        if (attempt > 0) deps.onTrouble()
        return answer
      } catch (error) {
        deps.onTrouble((error as Error).message)
        await sleep(clock, retryMs[Math.min(attempt, retryMs.length - 1)] ?? 0)
      }
    }
    return undefined
  }

  const isShort = () => queue.length + gathered <= limits.backlog / 2

  function release(): void {
    for (const resolve of waiters) resolve()
    waiters = []
  }

  return {
    stage(object: KubeObject) {
      const data = normalizer.read(object)
      const key = keyOf(data)
      const found = createKnown(data)
      const known = ledger.get(key)
      // Most of a large list is known already, and need not be in memory twice while it comes.
      staged.set(key, known?.json === found.json ? known : found)
    },
    unstage(object: KubeObject) {
      staged.delete(keyOf(normalizer.read(object)))
    },
    clearStage() {
      staged = new Map()
    },
    commit(version: string, gap?: GapReason) {
      enqueue({ type: 'snapshot', found: { objects: staged, resourceVersion: version, gap }, now: now() })
      staged = new Map()
    },
    emit(object, gone) {
      enqueue({ type: 'object', data: normalizer.read(object), gone, now: now() })
    },
    advance(version) {
      enqueue({ type: 'cursor', resourceVersion: version, now: now() })
    },
    expire(key, version) {
      enqueue({ type: 'expiry', key, resourceVersion: version, now: now() })
    },
    identify(clusterUid) {
      note = { ...note, clusterUid }
    },
    deadLetter: deps.onDeadLetter,
    isFull: () => queue.length + gathered >= limits.backlog,
    drained: () => (isShort() ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
    async flush() {
      isHurried = true
      wake?.()
      await pump
      isHurried = false
    },
    close() {
      isClosed = true
      wake?.()
      release()
    },
  }
}
