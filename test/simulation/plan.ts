import type { FeedLimits } from '../../workers/watcher/feed.ts'
import type { Abilities } from './api-server.ts'
import { type LogFault, logFaults, type RequestFault, requestFaults, type WatchFault, watchFaults } from './faults.ts'
import { createRandom, type Random } from './random.ts'
import type { Retention } from './simulated-log.ts'

/** One thing that the world does, or that befalls it. */
export type Deed =
  | { do: 'pod'; name: string; phase: string; app: string }
  | { do: 'remove-pod'; name: string }
  | { do: 'recreate-pod'; name: string }
  | { do: 'lease'; name: string; holder: string; seconds: number }
  | { do: 'remove-lease'; name: string }
  | { do: 'compact' }
  | { do: 'restore'; back: number }
  | { do: 'request-fault'; fault: RequestFault; times: number }
  | { do: 'watch-fault'; fault: WatchFault; which: number }
  | { do: 'poison'; times: number }
  | { do: 'api-down'; ms: number }
  | { do: 'log-fault'; fault: LogFault; times: number }
  | { do: 'log-down'; ms: number; isRestart: boolean }
  | { do: 'log-rewind'; appends: number }
  | { do: 'crash' | 'stop' | 'pause'; watcher: number; ms: number }
  | { do: 'disconnect'; subscriber: number; ms: number }

export interface Step {
  /** Simulated ms after the start. */
  at: number
  deed: Deed
}

/** Everything that decides a history: the same plan is the same history. */
export interface Plan {
  /** For what is left to chance while it runs: latencies, and where bytes are cut. */
  seed: number
  /** As `parseResources` reads it. */
  resources: string
  abilities: Abilities
  limits: FeedLimits
  leastTimeoutSeconds: number
  watchers: number
  retention: Retention
  /** The filter of each subscriber, as a query has it. */
  subscribers: Record<string, string>[]
  steps: Step[]
}

/** How likely each kind of trouble is in one history; most histories have little of most kinds, so that causes stay apart. */
interface Weather {
  requests: number
  watches: number
  server: number
  log: number
  processes: number
  subscribers: number
}

const phases = ['Pending', 'Running', 'Succeeded', 'Failed']
const apps = ['web', 'db', '']
const holders = ['a', 'b', 'c', '']
const filters: Record<string, string>[] = [
  {},
  { labelSelector: 'app=web' },
  { phase: 'Running,Failed', resource: 'pods' },
  { type: 'k8s.pod.deleted,k8s.lease.*' },
  { 'phase.to': 'Running' },
  { change: 'labels,transferred', namespace: 'shop' },
]

/** Draws a plan. */
export function drawPlan(seed: number): Plan {
  const random = createRandom(seed)
  const hasLeases = random.chance(0.4)
  const pods = random.pick(['pods', 'pods', 'pods?labelSelector=app=web'])
  const watchers = random.chance(0.4) ? 2 : 1
  const subscribers = [{}, random.pick(filters), random.pick(filters)].slice(0, random.int(1, 3))
  const weather = drawWeather(random)
  const steps = random.int(20, 90)
  const lasts = random.int(30, 240) * 1000
  return {
    seed,
    resources: hasLeases ? `${pods} leases` : pods,
    abilities: { streamingLists: random.chance(0.6), bookmarks: random.chance(0.85) },
    limits: { batch: random.int(1, 8), backlog: random.int(4, 40) },
    leastTimeoutSeconds: random.pick([20, 60, 300]),
    watchers,
    retention: { keepEntries: random.chance(0.2) ? random.int(5, 30) : 100_000 },
    subscribers,
    steps: drawSteps(random, weather, { steps, lasts, hasLeases, watchers, subscribers: subscribers.length }),
  }
}

function drawWeather(random: Random): Weather {
  const often = () => (random.chance(0.45) ? random.next() * 0.25 : 0)
  return {
    requests: often(),
    watches: often(),
    server: often() / 4,
    log: often(),
    processes: often() / 3,
    subscribers: often() / 2,
  }
}

function drawSteps(
  random: Random,
  weather: Weather,
  size: { steps: number; lasts: number; hasLeases: boolean; watchers: number; subscribers: number },
): Step[] {
  const steps: Step[] = []
  let at = 0
  for (let n = 0; n < size.steps; n++) {
    // Bursts and pauses: what is close together gets into one batch, what is apart meets timers.
    at += random.chance(0.5) ? random.int(0, 20) : Math.round((random.next() * 3 * size.lasts) / size.steps)
    if (random.chance(weather.requests)) steps.push({ at, deed: drawRequestFault(random) })
    if (random.chance(weather.watches)) {
      steps.push({ at, deed: { do: 'watch-fault', fault: random.pick(watchFaults), which: random.int(0, 3) } })
    }
    if (random.chance(weather.server)) steps.push({ at, deed: drawServerFault(random) })
    if (random.chance(weather.log)) steps.push({ at, deed: drawLogFault(random) })
    if (random.chance(weather.processes)) {
      const how = random.pick(['crash', 'crash', 'stop', 'pause'] as const)
      const ms = random.pick([50, 1000, 8000, 15_000, 40_000])
      steps.push({ at, deed: { do: how, watcher: random.int(0, size.watchers - 1), ms } })
    }
    if (random.chance(weather.subscribers)) {
      const subscriber = random.int(0, size.subscribers - 1)
      steps.push({ at, deed: { do: 'disconnect', subscriber, ms: random.int(0, 20_000) } })
    }
    steps.push({ at, deed: drawWork(random, size.hasLeases) })
  }
  return steps
}

function drawWork(random: Random, hasLeases: boolean): Deed {
  if (hasLeases && random.chance(0.4)) {
    const name = `lease-${random.int(0, 2)}`
    if (random.chance(0.08)) return { do: 'remove-lease', name }
    return { do: 'lease', name, holder: random.pick(holders), seconds: random.pick([2, 15, 60]) }
  }
  const name = `pod-${random.int(0, 5)}`
  const kind = random.int(1, 10)
  if (kind <= 2) return { do: 'remove-pod', name }
  if (kind === 3) return { do: 'recreate-pod', name }
  return { do: 'pod', name, phase: random.pick(phases), app: random.pick(apps) }
}

function drawRequestFault(random: Random): Deed {
  return { do: 'request-fault', fault: random.pick(requestFaults), times: random.pick([1, 1, 2, 3, 6]) }
}

function drawServerFault(random: Random): Deed {
  const kind = random.int(1, 10)
  if (kind <= 4) return { do: 'compact' }
  if (kind <= 6) return { do: 'restore', back: random.int(1, 12) }
  if (kind <= 8) return { do: 'poison', times: random.pick([1, 2, 7]) }
  return { do: 'api-down', ms: random.pick([200, 5000, 40_000]) }
}

function drawLogFault(random: Random): Deed {
  const kind = random.int(1, 10)
  if (kind <= 7) return { do: 'log-fault', fault: random.pick(logFaults), times: random.pick([1, 1, 2, 5]) }
  if (kind <= 9) {
    return { do: 'log-down', ms: random.pick([100, 3000, 15_000]), isRestart: random.chance(0.5) }
  }
  return { do: 'log-rewind', appends: random.int(1, 10) }
}
