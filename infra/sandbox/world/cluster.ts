import type { Clock } from '../clock.ts'
import type { KubeObject } from '../kube-object.ts'
import type { PodActions } from '../pod-actions.ts'
import type { Random } from '../random.ts'
import type { Remover } from '../remove.ts'
import { ApiError } from '../status.ts'
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

/** The options, and timers that end with the world. */
export interface Cluster extends WorldOptions {
  /** Calls back after `delay` milliseconds unless the world has stopped. What a user did meanwhile is no error. */
  later(delay: number, action: () => void): void
  /** Runs again and again, `interval` milliseconds and up to a tenth more apart. */
  every(interval: number, action: () => void): void
  /** The current state of a pod, if it is still the same one. */
  current(pod: KubeObject): KubeObject | undefined
  stop(): void
}

/** Runs an action that may find its object gone, changed or refused: controllers retry or forget, and so do these. */
export function attempt(action: () => void): void {
  try {
    action()
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
  }
}

export function createCluster(options: WorldOptions): Cluster {
  const { clock, random, store } = options
  const cancels = new Set<() => void>()
  let isStopped = false

  function later(delay: number, action: () => void): void {
    if (isStopped) return
    const cancel = clock.after(delay, () => {
      cancels.delete(cancel)
      attempt(action)
    })
    cancels.add(cancel)
  }

  function every(interval: number, action: () => void): void {
    later(interval * (1 + random.next() / 10), () => {
      try {
        action()
      } finally {
        every(interval, action)
      }
    })
  }

  return {
    ...options,
    later,
    every,
    current(pod) {
      const { namespace = '', name = '', uid } = pod.metadata
      const found = store.get('pods', namespace, name)
      return found?.metadata.uid === uid ? found : undefined
    },
    stop() {
      isStopped = true
      for (const cancel of cancels) cancel()
      cancels.clear()
    },
  }
}
