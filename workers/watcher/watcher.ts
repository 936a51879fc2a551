import type { Claim, LogWriter } from '../../shared/log/writer.ts'
import { nameFeed, nameResource, pathOf, type WatchedResource } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { type Clock, sleep, systemClock } from '../clock.ts'
import type { KubeClient } from '../kube/client.ts'
import { chooseNormalizer } from '../normalize/choose.ts'
import type { Renewals } from '../normalize/lease.ts'
import { createReflector } from '../reflector/reflector.ts'
import { createEventEncoder } from './encode.ts'
import { createFeed, type FeedLimits, type FeedNote } from './feed.ts'
import { loadKnownSet } from './known-set.ts'
import { createLeaseClock } from './lease-clock.ts'
import { createLedger } from './ledger.ts'
import type { StatusBoard } from './status-board.ts'
import type { Store } from './store.ts'
import { createVitals } from './vitals.ts'

/** How long a writer's lease lasts unless renewed, and how often others ask for it at least; ms. */
const defaultLeaseMs = 10_000
const askMs = 1000
/** How long the API server may take to confirm that an object was not renewed, ms. */
const confirmMs = 10_000
/** How long a watcher that is told to stop waits for Redis, ms. */
const partingMs = 5000

/** What all feeds of a watcher share. */
export interface WatcherDeps {
  client: KubeClient
  store: Store
  /** The cluster's name in events. */
  cluster: string
  /** This process among all watchers. */
  owner: string
  board: StatusBoard
  log: Logger
  clock?: Clock
  random?: () => number
  leastTimeoutSeconds?: number
  leaseRenewals?: Renewals
  limits?: FeedLimits
  /** How long a writer's lease lasts unless renewed, in ms: after a crash, others wait so long. */
  leaseMs?: number
}

/** Why a writer stopped being the writer. */
type Loss = 'stopped' | 'fenced' | 'epoch' | 'conflict'

/**
 * Watches one collection until the signal: waits for its turn to be the writer, resumes from what the last writer left,
 * and starts over whenever the claim is lost.
 */
export async function watchResource(watched: WatchedResource, deps: WatcherDeps, signal: AbortSignal): Promise<void> {
  const feedId = nameFeed(watched)
  const log = deps.log.child({ feed: feedId })
  const writer = deps.store.openWriter(feedId, nameResource(watched), watched.namespace)
  const clock = deps.clock ?? systemClock
  let isRewound = false
  while (!signal.aborted) {
    try {
      const claim = await waitForTurn(writer, deps, clock, log, signal)
      if (claim === undefined) return
      if (isRewound) {
        // Entries that readers may have seen are gone: no old cursor may be taken for a new one.
        isRewound = false
        await writer.renewEpoch(claim.fence)
        log.warn({}, 'Redis lost entries of the log; began a new epoch')
        continue
      }
      const loss = await write(watched, feedId, writer, claim, { ...deps, clock }, log, signal)
      isRewound = loss === 'conflict'
      if (loss !== 'stopped') log.warn({ loss }, 'lost the claim on this feed')
    } catch (error) {
      if (signal.aborted) return
      log.error({ err: error }, 'this feed failed; it starts over')
      await sleep(clock, askMs, signal)
    }
  }
}

async function waitForTurn(
  writer: LogWriter,
  { owner, leaseMs = defaultLeaseMs }: WatcherDeps,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<Claim | undefined> {
  let isTold = false
  while (!signal.aborted) {
    const answer = await writer.claim(owner, leaseMs)
    if (!answer.held) return answer
    if (!isTold) log.info({ writer: answer.owner }, 'another watcher writes this feed; standing by')
    isTold = true
    await sleep(clock, Math.min(askMs, leaseMs / 5, answer.msLeft + 1), signal)
  }
  return undefined
}

/** Writes under one claim until it is lost or the signal comes. */
async function write(
  watched: WatchedResource,
  feedId: string,
  writer: LogWriter,
  claim: Claim,
  deps: WatcherDeps & { clock: Clock },
  log: Logger,
  signal: AbortSignal,
): Promise<Loss> {
  const { clock, leaseMs = defaultLeaseMs } = deps
  const normalizer = chooseNormalizer(watched, deps.leaseRenewals)
  const resource = nameResource(watched)
  const known = await loadKnownSet(deps.store.state, resource, watched.namespace)
  const note: FeedNote = {
    clusterUid: '',
    isFirstSync: known.size === 0,
    history: 0,
    ...(claim.note === '' ? {} : (JSON.parse(claim.note) as Partial<FeedNote>)),
  }
  let health = 'syncing'
  const vitals = createVitals(clock)
  deps.board.measure(feedId, vitals.read)

  const lives = createLeaseClock({
    isSynced: () => health === 'synced',
    confirm: (key, version) => isNewest(deps.client, clock, watched, key, version),
    expire: (key, version) => feed.expire(key, version),
    clock,
  })
  const ledger = createLedger({
    known,
    normalizer,
    history: note.history,
    mayLeave: mayLeave(watched),
    encoder: createEventEncoder(deps.cluster, watched, normalizer.kind),
    onLife: lives.set,
  })
  // Whoever was silent before we came gets one full lifetime from now.
  for (const [key, { resourceVersion, json }] of known) {
    lives.set(key, resourceVersion, normalizer.lifetime?.(JSON.parse(json)))
  }

  const { promise: lost, resolve: lose } = Promise.withResolvers<Loss>()
  const feed = createFeed({
    writer,
    claim,
    note,
    ledger,
    normalizer,
    clock,
    ...(deps.limits === undefined ? {} : { limits: deps.limits }),
    onLost: lose,
    onWaiting: vitals.waiting,
    onStored: vitals.stored,
    onTrouble: (reason) => deps.board.trouble(feedId, reason),
    onDeadLetter: (bytes) => {
      log.error({ bytes: bytes.length }, 'the API server sent what cannot be read; kept as a dead letter')
      deps.store
        .keepDeadLetter(feedId, bytes)
        .catch((error: unknown) => log.warn({ err: error }, 'could not keep the dead letter'))
    },
  })
  const reflector = createReflector({
    client: deps.client,
    path: pathOf(watched),
    selectors: watched,
    cursor: claim.resourceVersion,
    clusterUid: note.clusterUid,
    unfinished: note.unfinished,
    sink: vitals.observe(feed),
    report(state, reason) {
      health = state
      vitals.synced(state === 'synced')
      deps.board.set(feedId, state, reason)
    },
    clock,
    ...(deps.random === undefined ? {} : { random: deps.random }),
    ...(deps.leastTimeoutSeconds === undefined ? {} : { leastTimeoutSeconds: deps.leastTimeoutSeconds }),
  })

  let isRenewing = false
  const stopRenewal = clock.every(leaseMs * 0.3, () => {
    if (isRenewing) return
    isRenewing = true
    writer
      .claim(deps.owner, leaseMs)
      .then((answer) => {
        if (answer.held || answer.fence !== claim.fence) lose('fenced')
        else if (answer.epoch !== claim.epoch) lose('epoch')
      })
      .catch((error: unknown) => log.debug({ err: error }, 'could not renew the claim'))
      .finally(() => {
        isRenewing = false
      })
  })
  const stop = () => lose('stopped')
  signal.addEventListener('abort', stop, { once: true })
  log.info({ known: known.size, resourceVersion: claim.resourceVersion }, 'writing this feed')
  reflector.start()
  try {
    const loss = await lost
    reflector.stop()
    // What is not flushed is not lost: the next writer resumes from the cursor before it.
    if (loss === 'stopped') await Promise.race([feed.flush(), sleep(clock, partingMs)])
    return loss
  } finally {
    stopRenewal()
    lives.stop()
    reflector.stop()
    feed.close()
    signal.removeEventListener('abort', stop)
    deps.board.remove(feedId)
    await writer
      .release(claim.fence)
      .catch((error: unknown) => log.debug({ err: error }, 'could not release the claim'))
  }
}

/** Whether an object can leave the selector while it lives: its namespace and name are for ever. */
function mayLeave({ labelSelector, fieldSelector }: WatchedResource): boolean {
  const fields = (fieldSelector ?? '').split(',').filter(Boolean)
  return Boolean(labelSelector) || fields.some((field) => !/^metadata\.(?:namespace|name)\s*!?=/.test(field.trim()))
}

/** Asks the API server itself whether a version is still the newest of its object. */
async function isNewest(
  client: KubeClient,
  clock: Clock,
  watched: WatchedResource,
  key: string,
  version: string,
): Promise<boolean> {
  const slash = key.indexOf('/')
  const namespace = key.slice(0, slash)
  const path = `${pathOf(namespace === '' ? watched : { ...watched, namespace })}/${key.slice(slash + 1)}`
  const deadline = new AbortController()
  const cancel = clock.after(confirmMs, () => deadline.abort())
  try {
    const { status, body } = await client.get(path, {}, { signal: deadline.signal })
    const text = Buffer.concat(await body.toArray()).toString('utf8')
    return status === 200 && JSON.parse(text)?.metadata?.resourceVersion === version
  } catch {
    // Unreachable or unreadable: then nobody knows, and what nobody knows has not expired.
    return false
  } finally {
    cancel()
  }
}
