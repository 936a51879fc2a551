import { asArray, asNumber, asObject, asString } from './normalizer.ts'

/** The columns of `kubectl get pods`. */
export interface PodColumns {
  status: string
  ready: string
  restarts: number
}

type Fields = Record<string, unknown>

/**
 * Computes STATUS, READY and RESTARTS exactly as kubectl prints them.
 * @see kubernetes/pkg/printers/internalversion/printers.go, printPod
 */
export function computeColumns(spec: Fields, status: Fields, isDeleting: boolean): PodColumns {
  const phase = asString(status.phase) ?? ''
  const conditions = asArray(status.conditions).map(asObject)
  const initSpecs = asArray(spec.initContainers).map(asObject)
  const sidecars = new Set(initSpecs.filter((c) => c.restartPolicy === 'Always').map((c) => c.name))
  const column = { word: asString(status.reason) ?? phase, ready: 0, restarts: 0 }
  if (conditions.some((c) => c.type === 'PodScheduled' && c.reason === 'SchedulingGated'))
    column.word = 'SchedulingGated'

  const init = readInitContainers(asArray(status.initContainerStatuses).map(asObject), sidecars, initSpecs.length)
  column.ready += init.ready
  column.restarts = init.restarts
  if (init.word !== undefined) column.word = init.word
  if (init.word === undefined || isTrue(conditions, 'Initialized')) {
    column.restarts = init.sidecarRestarts
    readContainers(asArray(status.containerStatuses).map(asObject), isTrue(conditions, 'Ready'), column)
  }

  if (isDeleting && status.reason === 'NodeLost') column.word = 'Unknown'
  else if (isDeleting && phase !== 'Succeeded' && phase !== 'Failed') column.word = 'Terminating'
  const total = asArray(spec.containers).length + sidecars.size
  return { status: column.word, ready: `${column.ready}/${total}`, restarts: column.restarts }
}

function isTrue(conditions: Fields[], type: string): boolean {
  return conditions.some((condition) => condition.type === type && condition.status === 'True')
}

/** The word of the first init container that is not done, if any. */
function readInitContainers(statuses: Fields[], sidecars: ReadonlySet<unknown>, total: number) {
  const seen = { ready: 0, restarts: 0, sidecarRestarts: 0, word: undefined as string | undefined }
  for (const [index, container] of statuses.entries()) {
    const isSidecar = sidecars.has(container.name)
    const restarts = asNumber(container.restartCount) ?? 0
    seen.restarts += restarts
    if (isSidecar) seen.sidecarRestarts += restarts
    const { terminated, waiting } = readState(container)
    if (terminated !== undefined && (terminated.exitCode ?? 0) === 0) continue
    if (isSidecar && container.started === true) {
      if (container.ready === true) seen.ready++
      continue
    }
    const reason = asString(waiting?.reason)
    if (terminated !== undefined) seen.word = `Init:${nameEnd(terminated)}`
    else if (reason !== undefined && reason !== 'PodInitializing') seen.word = `Init:${reason}`
    else seen.word = `Init:${index}/${total}`
    break
  }
  return seen
}

function readContainers(
  statuses: Fields[],
  isPodReady: boolean,
  column: { word: string; ready: number; restarts: number },
) {
  let isRunning = false
  let failure: string | undefined
  for (const container of statuses.toReversed()) {
    column.restarts += asNumber(container.restartCount) ?? 0
    const { terminated, waiting, running } = readState(container)
    const reason = asString(waiting?.reason)
    if (reason !== undefined) column.word = reason
    else if (terminated !== undefined) {
      column.word = nameEnd(terminated)
      if ((terminated.exitCode ?? 0) !== 0) failure = column.word
    } else if (container.ready === true && running !== undefined) {
      isRunning = true
      column.ready++
    }
  }
  if (column.word !== 'Completed') return
  if (isRunning && isPodReady) column.word = 'Running'
  else if (failure !== undefined) column.word = failure
  else if (isRunning) column.word = 'NotReady'
}

/** `Error`, `OOMKilled`, or what stands for a reason that was not given. */
function nameEnd(terminated: Fields): string {
  const signal = asNumber(terminated.signal) ?? 0
  const unnamed = signal !== 0 ? `Signal:${signal}` : `ExitCode:${asNumber(terminated.exitCode) ?? 0}`
  return asString(terminated.reason) ?? unnamed
}

/** The one of a container's three states that is set. */
export function readState(container: Fields): { terminated?: Fields; waiting?: Fields; running?: Fields } {
  const state = asObject(container.state)
  const found: { terminated?: Fields; waiting?: Fields; running?: Fields } = {}
  for (const name of ['terminated', 'waiting', 'running'] as const) {
    if (typeof state[name] === 'object' && state[name] !== null) found[name] = asObject(state[name])
  }
  return found
}
