import { humanDuration } from './duration.ts'
import { type JsonObject, type KubeObject, objectAt, objectsIn, text } from './kube-object.ts'

/** The words of `kubectl get pods`. */
export interface PrintedPod {
  ready: string
  status: string
  restarts: string
}

interface Tally {
  ready: number
  restarts: number
  lastRestart: number
}

function finishedAt(status: JsonObject): number {
  const at = Date.parse(text(objectAt(status, 'lastState', 'terminated').finishedAt))
  return Number.isNaN(at) ? 0 : at
}

function count(tally: Tally, status: JsonObject): void {
  tally.restarts += Number(status.restartCount ?? 0)
  tally.lastRestart = Math.max(tally.lastRestart, finishedAt(status))
}

function wordTerminated(terminated: JsonObject, prefix: string): string {
  if (text(terminated.reason) !== '') return `${prefix}${text(terminated.reason)}`
  if (Number(terminated.signal ?? 0) !== 0) return `${prefix}Signal:${String(terminated.signal)}`
  return `${prefix}ExitCode:${String(terminated.exitCode ?? 0)}`
}

interface InitOutcome {
  word: string | undefined
  sidecars: Tally
  all: Tally
}

function readInit(pod: KubeObject): InitOutcome {
  const declared = objectsIn(objectAt(pod, 'spec').initContainers)
  const restartable = new Set(declared.filter((c) => c.restartPolicy === 'Always').map((c) => text(c.name)))
  const outcome: InitOutcome = {
    word: undefined,
    sidecars: { ready: 0, restarts: 0, lastRestart: 0 },
    all: { ready: 0, restarts: 0, lastRestart: 0 },
  }
  for (const [index, status] of objectsIn(objectAt(pod, 'status').initContainerStatuses).entries()) {
    count(outcome.all, status)
    const isSidecar = restartable.has(text(status.name))
    if (isSidecar) count(outcome.sidecars, status)
    const state = objectAt(status, 'state')
    const terminated = objectAt(state, 'terminated')
    const waiting = objectAt(state, 'waiting')
    if ('terminated' in state && Number(terminated.exitCode ?? 0) === 0) continue
    if (isSidecar && status.started === true) {
      if (status.ready === true) outcome.sidecars.ready++
      continue
    }
    if ('terminated' in state) outcome.word = wordTerminated(terminated, 'Init:')
    else if (text(waiting.reason) !== '' && waiting.reason !== 'PodInitializing')
      outcome.word = `Init:${text(waiting.reason)}`
    else outcome.word = `Init:${index}/${declared.length}`
    break
  }
  return outcome
}

/** kubectl's READY, STATUS and RESTARTS. Source: kubernetes `pkg/printers/internalversion/printers.go`, `printPod`. */
export function printPod(pod: KubeObject, now: number): PrintedPod {
  const spec = objectAt(pod, 'spec')
  const status = objectAt(pod, 'status')
  const conditions = objectsIn(status.conditions)
  const holds = (type: string) => conditions.some((c) => c.type === type && c.status === 'True')
  const sidecarCount = objectsIn(spec.initContainers).filter((c) => c.restartPolicy === 'Always').length
  const total = objectsIn(spec.containers).length + sidecarCount

  let word = text(status.reason) || text(status.phase)
  if (conditions.some((c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated')) word = 'SchedulingGated'

  const init = readInit(pod)
  let tally = init.all
  if (init.word !== undefined) word = init.word
  if (init.word === undefined || holds('Initialized')) {
    tally = init.sidecars
    let hasRunning = false
    let failure = ''
    for (const container of objectsIn(status.containerStatuses).reverse()) {
      count(tally, container)
      const state = objectAt(container, 'state')
      const waiting = objectAt(state, 'waiting')
      if (text(waiting.reason) !== '') word = text(waiting.reason)
      else if ('terminated' in state) {
        const terminated = objectAt(state, 'terminated')
        word = wordTerminated(terminated, '')
        if (Number(terminated.exitCode ?? 0) !== 0) failure = word
      } else if (container.ready === true && 'running' in state) {
        hasRunning = true
        tally.ready++
      }
    }
    if (word === 'Completed') {
      if (hasRunning && holds('Ready')) word = 'Running'
      else if (failure !== '') word = failure
      else if (hasRunning) word = 'NotReady'
    }
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (status.reason === 'NodeLost') word = 'Unknown'
    else if (status.phase !== 'Succeeded' && status.phase !== 'Failed') word = 'Terminating'
  }
  const since = tally.restarts > 0 && tally.lastRestart > 0 ? ` (${humanDuration(now - tally.lastRestart)} ago)` : ''
  return { ready: `${tally.ready}/${total}`, status: word, restarts: `${tally.restarts}${since}` }
}
