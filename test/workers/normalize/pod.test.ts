import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { type ContainerData, comparePods, type PodData, podNormalizer } from '../../../workers/normalize/pod.ts'
import { computeColumns } from '../../../workers/normalize/pod-status.ts'

type Fields = Record<string, unknown>
const running = { running: { startedAt: 't' } }
const waiting = (reason?: string) => ({ waiting: reason === undefined ? {} : { reason } })
const ended = (exitCode: number, more: Fields = {}) => ({ terminated: { exitCode, ...more } })
const container = (state: Fields, more: Fields = {}) => ({ name: 'c', restartCount: 0, state, ...more })

describe('the columns of kubectl get pods', () => {
  it('are what kubectl printed of the recorded pods', () => {
    const { items } = JSON.parse(readFileSync('test/recordings/kubectl-get-pods.json', 'utf8'))
    const lines = readFileSync('test/recordings/kubectl-get-pods.txt', 'utf8').trim().split('\n').slice(1)
    // The two recordings are a moment apart, in which one pod went on.
    const printed = lines.map((line) => line.split(/\s+/).slice(0, 4))
    const computed = items.map(({ metadata, spec, status }: KubeObject) => {
      const columns = computeColumns(spec as Fields, status as Fields, metadata?.deletionTimestamp !== undefined)
      return [metadata?.name, columns.ready, columns.status, String(columns.restarts)]
    })
    const moved = new Set(
      computed.filter((row: string[], i: number) => row.join() !== printed[i]?.join()).map((row: string[]) => row[0]),
    )
    expect(computed.length).toBe(printed.length)
    expect([...moved].filter((name) => name !== 'crashy' && name !== 'initfail')).toEqual([])
  })

  const twoInit = [{ name: 'a' }, { name: 'b' }]
  const sidecar = { name: 's', restartPolicy: 'Always' }
  it.each<[string, Fields, Fields, boolean, string, string, number]>([
    ['phase', {}, { phase: 'Pending' }, false, 'Pending', '0/1', 0],
    ['status.reason', {}, { phase: 'Failed', reason: 'Evicted' }, false, 'Evicted', '0/1', 0],
    [
      'scheduling gates',
      {},
      { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'False', reason: 'SchedulingGated' }] },
      false,
      'SchedulingGated',
      '0/1',
      0,
    ],
    [
      'running',
      {},
      { phase: 'Running', containerStatuses: [container(running, { ready: true })] },
      false,
      'Running',
      '1/1',
      0,
    ],
    [
      'waiting',
      {},
      { phase: 'Pending', containerStatuses: [container(waiting('ImagePullBackOff'))] },
      false,
      'ImagePullBackOff',
      '0/1',
      0,
    ],
    [
      'a reason',
      {},
      { phase: 'Failed', containerStatuses: [container(ended(137, { reason: 'OOMKilled' }))] },
      false,
      'OOMKilled',
      '0/1',
      0,
    ],
    [
      'a signal',
      {},
      { phase: 'Failed', containerStatuses: [container(ended(0, { signal: 9 }))] },
      false,
      'Signal:9',
      '0/1',
      0,
    ],
    ['an exit code', {}, { phase: 'Failed', containerStatuses: [container(ended(3))] }, false, 'ExitCode:3', '0/1', 0],
    [
      'restarts',
      {},
      { phase: 'Running', containerStatuses: [container(running, { ready: true, restartCount: 4 })] },
      false,
      'Running',
      '1/1',
      4,
    ],
    [
      'init in order',
      { initContainers: twoInit },
      { phase: 'Pending', initContainerStatuses: [container(ended(0)), container(running)] },
      false,
      'Init:1/2',
      '0/1',
      0,
    ],
    [
      'init failed',
      { initContainers: twoInit },
      { phase: 'Pending', initContainerStatuses: [container(ended(1, { reason: 'Error' }), { restartCount: 2 })] },
      false,
      'Init:Error',
      '0/1',
      2,
    ],
    [
      'init by code',
      { initContainers: twoInit },
      { phase: 'Pending', initContainerStatuses: [container(ended(3))] },
      false,
      'Init:ExitCode:3',
      '0/1',
      0,
    ],
    [
      'init by signal',
      { initContainers: twoInit },
      { phase: 'Pending', initContainerStatuses: [container(ended(1, { signal: 9 }))] },
      false,
      'Init:Signal:9',
      '0/1',
      0,
    ],
    [
      'init waiting',
      { initContainers: twoInit },
      { phase: 'Pending', initContainerStatuses: [container(waiting('CrashLoopBackOff'))] },
      false,
      'Init:CrashLoopBackOff',
      '0/1',
      0,
    ],
    [
      'init starting',
      { initContainers: twoInit },
      { phase: 'Pending', initContainerStatuses: [container(waiting('PodInitializing'))] },
      false,
      'Init:0/2',
      '0/1',
      0,
    ],
    [
      'a sidecar counts as a container',
      { initContainers: [sidecar] },
      {
        phase: 'Running',
        initContainerStatuses: [{ ...container(running, { started: true, ready: true, restartCount: 2 }), name: 's' }],
        containerStatuses: [container(running, { ready: true, restartCount: 1 })],
      },
      false,
      'Running',
      '2/2',
      3,
    ],
    [
      'completed beside a running one that is ready',
      {},
      {
        phase: 'Running',
        conditions: [{ type: 'Ready', status: 'True' }],
        containerStatuses: [container(ended(0, { reason: 'Completed' })), container(running, { ready: true })],
      },
      false,
      'Running',
      '1/1',
      0,
    ],
    [
      'completed beside a running one, not ready',
      {},
      {
        phase: 'Running',
        containerStatuses: [container(ended(0, { reason: 'Completed' })), container(running, { ready: true })],
      },
      false,
      'NotReady',
      '1/1',
      0,
    ],
    [
      'completed beside one that failed',
      {},
      {
        phase: 'Running',
        containerStatuses: [container(ended(0, { reason: 'Completed' })), container(ended(1, { reason: 'Error' }))],
      },
      false,
      'Error',
      '0/1',
      0,
    ],
    ['deletion', {}, { phase: 'Running', containerStatuses: [container(running)] }, true, 'Terminating', '0/1', 0],
    ['deletion of a finished pod', {}, { phase: 'Succeeded' }, true, 'Succeeded', '0/1', 0],
    ['deletion on a lost node', {}, { phase: 'Running', reason: 'NodeLost' }, true, 'Unknown', '0/1', 0],
  ])('%s', (_, spec, status, isDeleting, word, ready, restarts) => {
    expect(computeColumns({ containers: [{ name: 'c' }], ...spec }, status, isDeleting)).toEqual({
      status: word,
      ready,
      restarts,
    })
  })
})

it('reads no matter what without failing, and tells only what is on the allow-list', () => {
  const object = fc.record({ metadata: fc.object(), spec: fc.anything(), status: fc.anything() })
  fc.assert(
    fc.property(object, object, (a, b) => {
      const old = podNormalizer.read(a as KubeObject)
      const next = podNormalizer.read(b as KubeObject)
      JSON.stringify(podNormalizer.follow(old, next, { now: 0, isFirstSync: false }))
    }),
  )
})

describe('the changes of a pod', () => {
  const base = podNormalizer.read({
    metadata: { name: 'web', namespace: 'shop', uid: 'u', resourceVersion: '1', labels: { app: 'web' } },
    spec: { containers: [{ name: 'c' }] },
    status: { phase: 'Pending' },
  })
  const change = (over: Partial<PodData>, old: PodData | undefined = base) => comparePods(old, { ...base, ...over })
  const c = { name: 'c', ready: false, restarts: 0, state: 'running' as const }

  it.each<[string, Partial<PodData>, object]>([
    ['phase', { phase: 'Running' }, { type: 'phase', from: 'Pending', to: 'Running' }],
    ['status', { status: 'ContainerCreating' }, { type: 'status', from: 'Pending', to: 'ContainerCreating' }],
    ['ready', { ready: '1/1', isReady: true }, { type: 'ready', from: '0/1', to: '1/1', isReady: true }],
    ['bound', { node: 'n1' }, { type: 'bound', to: 'n1' }],
    ['unschedulable', { unschedulable: 'Unschedulable' }, { type: 'unschedulable', to: 'Unschedulable' }],
    ['terminating', { terminating: 't' }, { type: 'terminating', to: 't' }],
    ['disrupted', { disrupted: 'EvictionByEvictionAPI' }, { type: 'disrupted', to: 'EvictionByEvictionAPI' }],
    ['evicted', { reason: 'Evicted' }, { type: 'evicted', to: 'Evicted' }],
    ['labels', { labels: { app: 'x' } }, { type: 'labels', from: { app: 'web' }, to: { app: 'x' } }],
    [
      'waiting',
      { containers: [{ ...c, state: 'waiting', reason: 'CrashLoopBackOff' }] },
      { type: 'waiting', container: 'c', to: 'CrashLoopBackOff' },
    ],
  ])('%s', (_, over, expected) => {
    expect(change(over)).toEqual([expected])
  })

  it('tell a restart with how the run before it ended, and how many a single version hides', () => {
    const last = { exitCode: 137, reason: 'OOMKilled', finishedAt: 't' }
    const old = { ...base, containers: [c] }
    expect(change({ containers: [{ ...c, restarts: 3, last }] }, old)).toEqual([
      { type: 'restarted', container: 'c', from: 0, to: 3, count: 3, exitCode: 137, reason: 'OOMKilled' },
    ])
  })

  it('tell a restart where only the last end changed, since the count is not always monotonic', () => {
    const old = { ...base, containers: [{ ...c, restarts: 2, last: { exitCode: 1, finishedAt: 't1' } }] }
    const next = { containers: [{ ...c, restarts: 2, last: { exitCode: 1, finishedAt: 't2' } }] }
    expect(change(next, old)).toMatchObject([{ type: 'restarted', count: 1 }])
  })

  it('tell a restart once, though its end is told before it is counted', () => {
    const last = { exitCode: 1, reason: 'Error', finishedAt: 't1' }
    const versions: ContainerData[] = [
      { ...c, ready: true },
      { ...c, state: 'terminated', reason: 'Error', exitCode: 1 },
      { ...c, state: 'waiting', reason: 'CrashLoopBackOff', last },
      { ...c, restarts: 1, last },
      { ...c, restarts: 1, ready: true, last },
    ]
    const told = versions.slice(1).flatMap((next, index) => {
      const old = { ...base, containers: versions.slice(index, index + 1) }
      return comparePods(old, { ...base, containers: [next] })
    })
    expect(told.map(({ type }) => type)).toEqual(['waiting', 'restarted'])
  })

  it('tell a restart where the count fell, since the kubelet forgets containers that it cleaned up', () => {
    const old = { ...base, containers: [{ ...c, restarts: 5, last: { exitCode: 1 } }] }
    expect(change({ containers: [{ ...c, restarts: 1, last: { exitCode: 1 } }] }, old)).toMatchObject([
      { type: 'restarted', from: 5, to: 1, count: 1 },
    ])
  })

  describe('tell a resize in place', () => {
    const set = (cpu: string) => ({ requests: { cpu, memory: '64Mi' } })
    const pod = (spec: string, status: string | undefined, conditions: object[] = []) =>
      podNormalizer.read({
        metadata: { name: 'web' },
        spec: { containers: [{ name: 'c', resources: set(spec) }] },
        status: {
          phase: 'Running',
          conditions,
          containerStatuses: [container(running, status === undefined ? {} : { resources: set(status) })],
        },
      })
    const pending = { type: 'PodResizePending', status: 'True', reason: 'Deferred' }
    const going = { type: 'PodResizeInProgress', status: 'True' }

    it('from the wish to its end', () => {
      const versions = [pod('1', '1'), pod('2', '1', [pending]), pod('2', '1', [going]), pod('2', '2')]
      const told = versions.slice(1).map((next, index) => comparePods(versions[index], next))
      const asked = { type: 'resized', container: 'c', from: set('1'), to: set('2') }
      expect(told).toEqual([
        [
          { type: 'resizing', to: 'Deferred' },
          { ...asked, stage: 'requested' },
        ],
        [{ type: 'resizing', from: 'Deferred', to: 'InProgress' }],
        [
          { type: 'resizing', from: 'InProgress', to: null },
          { ...asked, stage: 'actual' },
        ],
      ])
    })

    it('from the spec alone where kubelets do not tell, and none where one begins to', () => {
      expect(comparePods(pod('1', undefined), pod('2', undefined))).toMatchObject([
        { type: 'resized', stage: 'requested' },
      ])
      expect(comparePods(pod('1', undefined), pod('1', '1'))).toEqual([])
    })
  })

  it('name init containers, sidecars and ephemeral containers', () => {
    const read = (restartCount: number) =>
      podNormalizer.read({
        metadata: { name: 'web' },
        spec: { initContainers: [{ name: 'i' }, { name: 's', restartPolicy: 'Always' }], containers: [{ name: 'c' }] },
        status: {
          phase: 'Running',
          initContainerStatuses: [
            { ...container(ended(1)), name: 'i', restartCount },
            { ...container(running), name: 's', restartCount },
          ],
          ephemeralContainerStatuses: [{ ...container(waiting('ErrImagePull')), name: 'debug' }],
        },
      })
    expect(read(0).containers.map(({ name, kind }) => [name, kind])).toEqual([
      ['i', 'init'],
      ['s', 'sidecar'],
      ['debug', 'ephemeral'],
    ])
    const restarted = comparePods(read(0), read(1)).filter(({ type }) => type === 'restarted')
    expect(restarted).toMatchObject([{ container: 'i' }, { container: 's' }])
    expect(comparePods(undefined, read(0))).toContainEqual({ type: 'waiting', container: 'debug', to: 'ErrImagePull' })
  })

  it('of a new pod are what it already is', () => {
    expect(comparePods(undefined, base)).toEqual([
      { type: 'phase', to: 'Pending' },
      { type: 'status', to: 'Pending' },
    ])
  })
})

it('tells of the recorded crash loop what happened in it', () => {
  const known = new Map<string, PodData>()
  const seen: string[] = []
  for (const line of readFileSync('test/recordings/pods-lifecycle.body', 'utf8').trim().split('\n')) {
    const { type, object } = JSON.parse(line)
    if (type === 'BOOKMARK') continue
    const data = podNormalizer.read(object)
    const { changes } = podNormalizer.follow(known.get(data.uid), data, { now: 0, isFirstSync: false })
    known.set(data.uid, data)
    if (data.name === 'crashy') seen.push(...changes.map((one) => `${one.type}:${one.to ?? ''}`))
  }
  expect(seen).toEqual(expect.arrayContaining(['phase:Pending', 'phase:Running', 'phase:Failed', 'evicted:Evicted']))
  expect(seen.filter((one) => one.startsWith('restarted')).length).toBeGreaterThanOrEqual(3)
  expect(seen).toContain('waiting:CrashLoopBackOff')
})
