import { isDeepStrictEqual } from 'node:util'
import type { Store } from '../../infra/sandbox/store.ts'
import { gapType, type ObjectData, type RelayEvent } from '../../shared/event.ts'
import type { KubeObject } from '../../workers/kube/object.ts'
import { podNormalizer } from '../../workers/normalize/pod.ts'

/** How a log differs from what the API server knows to have happened. Empty lists are the promise kept. */
export interface Fidelity {
  /** Changes that are neither in the log nor within an announced gap. */
  lost: string[]
  /** Events that are in the log more than once. */
  doubled: string[]
  /** Events older than one before them in the log, per object. */
  disordered: string[]
  /** Events that tell of what never happened, or otherwise than it happened. */
  invented: string[]
  /** How the known set, and the log replayed from its start, differ from a LIST at the same resourceVersion. */
  wrongState: string[]
  /** Announced gaps, from one version (exclusive) to another, and how many changes within them were not told. */
  gaps: readonly (readonly [from: number, to: number])[]
  covered: number
  told: number
}

/** What a comparison needs of the sandbox and of the log. The log must be whole: nothing trimmed. */
export interface Evidence {
  store: Store
  /** Where the first sync was: what came before is no news. */
  since: number
  events: readonly RelayEvent[]
  /** The known set, by `<namespace>/<name>`. */
  known: ReadonlyMap<string, ObjectData>
}

const verbs = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' }

/** Compares the log of the feed of all Pods with the sandbox's own history. */
export function comparePodLog({ store, since, events, known }: Evidence): Fidelity {
  const found: Fidelity = {
    lost: [],
    doubled: [],
    disordered: [],
    invented: [],
    wrongState: [],
    gaps: [],
    covered: 0,
    told: 0,
  }
  const history = store.history('pods').filter(({ resourceVersion }) => resourceVersion > since)
  const happened = new Map(
    history.map(({ resourceVersion, type, object }) => [
      `${object.metadata.uid}/${resourceVersion}`,
      `${verbs[type]} ${object.metadata.namespace}/${object.metadata.name}`,
    ]),
  )
  const pods = events.filter(({ source }) => source.endsWith('/pods'))
  const gaps: [number, number][] = []
  const told = new Set<string>()
  const ids = new Set<string>()
  const newest = new Map<string, number>()
  for (const event of pods) {
    if (ids.has(event.id)) found.doubled.push(event.id)
    ids.add(event.id)
    if (event.type === gapType) {
      gaps.push([Number(event.data.fromResourceVersion), Number(event.data.toResourceVersion)])
      continue
    }
    const { uid = '', resourceVersion = '' } = event.data
    const version = Number(resourceVersion)
    // A relist's deletion has no version of its own: it carries the last one that was known.
    if (version < (newest.get(uid) ?? 0)) found.disordered.push(event.id)
    newest.set(uid, version)
    if (event.synthetic !== undefined) continue
    const what = `${event.type.replace('k8s.pod.', '')} ${event.subject}`
    const real = happened.get(`${uid}/${resourceVersion}`)
    // After a gap the first version of a new object may be told as what changed, and the other way round.
    if (real === undefined || (gaps.length === 0 && real !== what)) found.invented.push(`${event.id} ${what}`)
    told.add(`${uid}/${resourceVersion}`)
  }
  for (const [id, what] of happened) {
    const version = Number(id.slice(id.indexOf('/') + 1))
    if (told.has(id)) found.told++
    else if (gaps.some(([from, to]) => version > from && version <= to)) found.covered++
    else found.lost.push(`${id} ${what}`)
  }
  found.gaps = gaps
  found.wrongState = compareState(store, replay(pods), known, since)
  return found
}

/** The objects that exist for a reader of the log alone. */
function replay(events: readonly RelayEvent[]): Map<string, string> {
  const objects = new Map<string, string>()
  for (const { type, data } of events) {
    if (type === gapType) continue
    const key = `${data.namespace}/${data.name}`
    // A deletion of an object whose name lives on in another is told before that other one.
    if (type.endsWith('.deleted')) objects.delete(key)
    else objects.set(key, `${data.uid} ${data.resourceVersion}`)
  }
  return objects
}

function compareState(
  store: Store,
  replayed: ReadonlyMap<string, string>,
  known: ReadonlyMap<string, ObjectData>,
  since: number,
): string[] {
  const wrong: string[] = []
  const real = new Map(
    store.list('pods').map((pod) => {
      const data = podNormalizer.read(pod as unknown as KubeObject)
      return [`${data.namespace}/${data.name}`, data]
    }),
  )
  for (const [key, data] of real) {
    // Through JSON, as the record went, which leaves the undefined out.
    const expected: unknown = JSON.parse(JSON.stringify(data))
    if (!isDeepStrictEqual(known.get(key), expected)) wrong.push(`the known set has another ${key}`)
    const version = `${data.uid} ${data.resourceVersion}`
    const isNews = Number(data.resourceVersion) > since
    if (isNews && replayed.get(key) !== version) wrong.push(`the log ends with another ${key}`)
  }
  for (const key of known.keys()) if (!real.has(key)) wrong.push(`the known set still has ${key}`)
  for (const key of replayed.keys()) if (!real.has(key)) wrong.push(`the log never ended ${key}`)
  return wrong
}

/** What a faithful log looks like, apart from its size. */
export const faithful = { lost: [], doubled: [], disordered: [], invented: [], wrongState: [] }
