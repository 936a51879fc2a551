import type { Clock } from '../clock.ts'
import type { PodActions } from '../pod-actions.ts'
import type { Random } from '../random.ts'
import type { Remover } from '../remove.ts'
import type { Store } from '../store.ts'
import type { Writer } from '../write.ts'

/** What the inhabitants of the cluster may use: the same checked operations that requests go through. */
export interface WorldOptions {
  store: Store
  writer: Writer
  remove: Remover
  pods: PodActions
  clock: Clock
  random: Random
  /** Pod events per second to aim at. */
  rate: number
}

export function startWorld(_options: WorldOptions): () => void {
  return () => undefined
}
