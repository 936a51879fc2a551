import { gapType } from '../../../shared/event.ts'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { chooseNormalizer } from '../../../workers/normalize/choose.ts'
import type { History } from '../history.ts'
import { firstCursor, isInGap, isLive, isNews, isUndone, readEvidence, readVersion } from './evidence.ts'

/** Ordered: the log has no holes, and of one object each change stands behind the one before it. */
export function checkOrdered(history: History): string[] {
  const { entries } = readEvidence(history)
  const found: string[] = []
  const newest = new Map<string, number>()
  for (const [index, { seq, feed, event }] of entries.entries()) {
    if (seq !== index + 1) found.push(`entry ${seq} stands at place ${index + 1}`)
    // After a restore, versions are given out once more.
    if (event.type === gapType && event.data.reason === 'rewound') newest.clear()
    if (!isLive(event)) continue
    const { uid, rv } = readVersion(event)
    const before = newest.get(`${feed} ${uid}`) ?? 0
    if (rv <= before) found.push(`entry ${seq}: ${event.subject}@${rv} after @${before}`)
    newest.set(`${feed} ${uid}`, rv)
  }
  return found
}

/** Unique: each entry stands for one true change, no change has two, and no two entries share an id. */
export function checkUnique(history: History): string[] {
  const { entries, sights } = readEvidence(history)
  const found: string[] = []
  const ids = new Set<string>()
  for (const { seq, feed, event } of entries) {
    // A relist that was broken off is announced again, in the same words when it is of the same versions.
    if (ids.has(event.id) && event.type !== gapType) found.push(`entry ${seq}: the id ${event.id} was there before`)
    ids.add(event.id)
    if (!isLive(event)) continue
    const { uid, rv } = readVersion(event)
    const candidates = sights.get(feed)?.filter((sight) => sight.uid === uid && sight.rv === rv) ?? []
    const isDeletion = event.type.endsWith('.deleted')
    const isTrue = candidates.some(({ type, version }) => {
      const labels = (version.type === 'DELETED' ? version.previous : version.object)?.metadata?.labels ?? {}
      const isSame = type === 'DELETED' || JSON.stringify(labels) === JSON.stringify(event.data.labels)
      return (type === 'DELETED') === isDeletion && isSame
    })
    if (!isTrue) found.push(`entry ${seq}: ${event.type} ${event.subject}@${rv} never happened`)
  }
  return found
}

/**
 * Reliable: every change since the first sync, and nothing from before it, is in the log or inside an announced gap; every
 * gap and every new epoch has a cause; and all ends in the server's state.
 */
export function checkReliable(history: History): string[] {
  const evidence = readEvidence(history)
  const found = history.isConverged ? [] : ['the world did not settle']
  for (const feed of history.feeds) {
    const told = new Set(
      evidence.entries
        .filter((entry) => entry.feed === feed.id && isLive(entry.event))
        .map(({ event }) => `${event.data.uid}@${event.data.resourceVersion}`),
    )
    const gaps = evidence.gaps.filter((gap) => gap.feed === feed.id)
    const first = firstCursor(evidence, feed.id)
    for (const sight of evidence.sights.get(feed.id) ?? []) {
      if (sight.rv <= first || isUndone(history, sight.version) || !isNews(sight)) continue
      if (told.has(`${sight.uid}@${sight.rv}`) || isInGap(history, gaps, sight)) continue
      found.push(`${feed.id}: ${sight.type} ${sight.version.key}@${sight.rv} is neither told nor in a gap`)
    }
    const sync = evidence.appends.find((append) => append.feed === feed.id && append.batch.resourceVersion !== '')
    for (const { seq, event, at, feed: id } of evidence.entries) {
      const isEarly = id === feed.id && event.synthetic === 'relist' && at <= (sync?.at ?? 0)
      if (isEarly) found.push(`entry ${seq}: ${event.subject} was there before the first sync`)
    }
    found.push(...compareEnd(history, feed.list, feed.known, feed.id))
  }
  const epochs = history.deeds.filter(({ type }) => type === 'epoch').length
  const moves = (history.exercised.get('log-rewind') ?? 0) + (history.exercised.get('log-restart') ?? 0)
  if (epochs > moves) found.push(`${epochs} epochs began, with cause for ${moves}`)
  for (const [reason, most] of Object.entries(countCauses(history))) {
    // From the same version on, the second only goes on with what the first one began.
    const announced = new Set(
      evidence.gaps.filter((gap) => gap.reason === reason).map(({ feed, from }) => `${feed} ${from}`),
    ).size
    if (announced > most) found.push(`${announced} gaps are announced as ${reason}, with cause for ${most}`)
  }
  return found
}

/** After everything has settled, what is known is what a list answers. */
function compareEnd(history: History, list: KubeObject[], known: Map<string, string>, feed: string): string[] {
  const watched = history.feeds.find(({ id }) => id === feed)?.watched
  if (watched === undefined) return []
  const normalizer = chooseNormalizer(watched)
  const found: string[] = []
  for (const object of list) {
    const { renewed: _, term: __, expired: ___, ...expected } = normalizer.read(object)
    const key = `${expected.namespace}/${expected.name}`
    const stored = JSON.parse(known.get(key) ?? '{}') as Record<string, unknown>
    const differs = Object.entries(expected).find(([field, value]) => !isSame(stored[field], value))
    if (differs !== undefined) found.push(`${feed}: ${key} is known with another ${differs[0]} than the server has`)
  }
  if (known.size !== list.length) found.push(`${feed}: ${known.size} objects are known, the server has ${list.length}`)
  return found
}

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** How many gaps of each kind the faults that hit can have made at most. */
function countCauses({ exercised, restores }: History): Record<string, number> {
  const sum = (...names: string[]) => names.reduce((total, name) => total + (exercised.get(name) ?? 0), 0)
  // Whatever fails on one version counts together; the last of five failures gives its name.
  const faults =
    sum('poison', 'garbage', 'unknown-type', 'no-version', 'table') +
    sum('server-error', 'html', 'server-error-frame', 'unsupported')
  return {
    expired:
      sum('compacted', 'expired', 'expired-event', 'expired-frame') +
      Math.floor(sum('quiet-close', 'close', 'cut-frame') / 2),
    unreadable: Math.floor(faults / 5),
    failing: Math.floor(faults / 5),
    rewound: restores.length === 0 ? 0 : Number.POSITIVE_INFINITY,
  }
}
