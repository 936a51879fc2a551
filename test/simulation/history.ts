import type { WatchedResource } from '../../shared/resource.ts'
import type { KubeObject } from '../../workers/kube/object.ts'
import type { Collection, Restore, Version } from './cluster.ts'
import type { Plan } from './plan.ts'
import type { LogDeed } from './simulated-log.ts'
import type { Told } from './subscriber.ts'

/** One watched collection of a history. */
export interface HistoryFeed {
  id: string
  collection: Collection
  /** The name of its known set. */
  resource: string
  watched: WatchedResource
  /** What a list with the feed's selector answers at the end. */
  list: KubeObject[]
  /** What the log holds of it at the end: the records of the known set by key. */
  known: Map<string, string>
  cursor: string
}

/** Everything that happened in one simulated run; validators judge nothing else. */
export interface History {
  plan: Plan
  /** The cluster's own history, what a restore undid included. */
  versions: readonly Version[]
  restores: readonly Restore[]
  feeds: HistoryFeed[]
  /** What was written to the log, and taken back, in order. */
  deeds: readonly LogDeed[]
  /** The oldest entry that the log holds at the end. */
  first: number
  subscribers: { filter: Record<string, string>; told: Told[]; seq: number }[]
  /** True when everything had settled at the end. */
  isConverged: boolean
  /** Failures of the relay's own code. */
  faults: string[]
  /** How often each fault hit, and each thing worth knowing of happened. */
  exercised: Map<string, number>
  /** Simulated ms. */
  lasted: number
}
