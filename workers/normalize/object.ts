import type { Change, ObjectData } from '../../shared/event.ts'
import type { KubeObject } from '../kube/object.ts'
import { type Digests, diffDigests, digestPaths } from './digest.ts'
import type { Normalizer } from './normalizer.ts'
import { asArray, asNumber, asObject, asString, compareLabels, readMeta } from './normalizer.ts'

/** One entry of `status.conditions`; its message stays where it is. */
export interface Condition {
  type: string
  status: string
  reason?: string
}

/** What the relay tells of an object that it has no special knowledge of. */
export interface PlainData extends ObjectData {
  generation?: number
  /** `deletionTimestamp`. */
  terminating?: string
  conditions?: Condition[]
  /** Digests of the object's parts, of which nobody is told. */
  kept?: Digests
}

/** Turns objects that the relay has no special knowledge of into events. */
export function createObjectNormalizer(kind: string): Normalizer<PlainData> {
  return {
    kind,
    read: readObject,
    follow: (old, next) => ({ data: next, changes: compareObjects(old, next), isEvent: true }),
    end: (old, last) => ({ data: last, changes: compareObjects(old, last), isEvent: true }),
  }
}

/** Reads what any object may have. */
export function readObject(object: KubeObject): PlainData {
  const data: PlainData = readMeta(object)
  const generation = asNumber(object.metadata?.generation)
  if (generation !== undefined) data.generation = generation
  const terminating = asString(object.metadata?.deletionTimestamp)
  if (terminating !== undefined) data.terminating = terminating
  const conditions = asArray(asObject(object.status).conditions).map(asObject).map(readCondition)
  if (conditions.length > 0) data.conditions = conditions
  data.kept = digestPaths(object)
  return data
}

function readCondition(condition: Record<string, unknown>): Condition {
  const reason = asString(condition.reason)
  const { type, status } = condition
  return { type: asString(type) ?? '', status: asString(status) ?? '', ...(reason === undefined ? {} : { reason }) }
}

/** What happened between two versions; nothing for an object that was not known. */
export function compareObjects(old: PlainData | undefined, next: PlainData): Change[] {
  if (old === undefined) return []
  const changes: Change[] = []
  const paths = old.kept === undefined || next.kept === undefined ? [] : diffDigests(old.kept, next.kept)
  if (paths.length > 0) changes.push({ type: 'changed', paths })
  if (old.generation !== next.generation) {
    changes.push({ type: 'generation', from: old.generation ?? null, to: next.generation ?? null })
  }
  if (old.terminating === undefined && next.terminating !== undefined) {
    changes.push({ type: 'terminating', to: next.terminating })
  }
  if (old.owner?.uid !== next.owner?.uid) {
    changes.push({ type: 'owner', from: old.owner ?? null, to: next.owner ?? null })
  }
  return [...changes, ...compareConditions(old.conditions ?? [], next.conditions ?? []), ...compareLabels(old, next)]
}

function compareConditions(old: readonly Condition[], next: readonly Condition[]): Change[] {
  const statuses = new Map(old.map(({ type, status }) => [type, status]))
  const changes: Change[] = []
  for (const { type, status, reason } of next) {
    const from = statuses.get(type)
    statuses.delete(type)
    if (from === status) continue
    const before = from === undefined ? {} : { from }
    changes.push({
      type: 'condition',
      condition: type,
      ...before,
      to: status,
      ...(reason === undefined ? {} : { reason }),
    })
  }
  for (const [type, from] of statuses) changes.push({ type: 'condition', condition: type, from, to: null })
  return changes
}
