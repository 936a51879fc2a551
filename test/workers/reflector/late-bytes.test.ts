import { Readable } from 'node:stream'
import { expect, it } from 'vitest'
import type { KubeClient } from '../../../workers/kube/client.ts'
import { createReflector, type Sink } from '../../../workers/reflector/reflector.ts'
import { createProcessGate } from '../../simulation/process-gate.ts'
import { createScheduler } from '../../simulation/scheduler.ts'

const frame = (type: string, object: object) => Buffer.from(`${JSON.stringify({ type, object })}\n`)
const pod = { kind: 'Pod', metadata: { name: 'web', namespace: 'a', uid: 'u', resourceVersion: '6' } }

it('R71 R79 takes no notice of bytes that were read before the connection was given up', async () => {
  const scheduler = createScheduler(0)
  const { promise: late, resolve: release } = Promise.withResolvers<void>()
  const told: string[] = []
  const sink: Sink = {
    stage: () => undefined,
    unstage: () => undefined,
    clearStage: () => undefined,
    commit: () => undefined,
    emit: ({ metadata }) => told.push(`emit ${metadata?.resourceVersion}`),
    advance: (version) => told.push(`advance ${version}`),
    identify: () => undefined,
    deadLetter: () => undefined,
    isFull: () => false,
    drained: () => Promise.resolve(),
  }
  /** The bytes of a connection that a paused process finds in its buffer when it goes on. */
  async function* readWatch() {
    yield frame('ADDED', pod)
    await late
    yield frame('BOOKMARK', { metadata: { resourceVersion: '9' } })
    yield frame('MODIFIED', { ...pod, metadata: { ...pod.metadata, resourceVersion: '10' } })
  }
  async function* readObject(object: object) {
    yield Buffer.from(JSON.stringify(object))
  }
  const client: KubeClient = {
    server: '',
    async get(_, query) {
      const body = query.watch === true ? readWatch() : readObject({ metadata: { resourceVersion: '100', uid: 'c' } })
      return { status: 200, body: Readable.from(body) }
    },
    renewCredentials: () => undefined,
    close: async () => undefined,
  }
  const health: string[] = []
  const reflector = createReflector({
    client,
    path: '/api/v1/pods',
    selectors: {},
    cursor: '5',
    clusterUid: 'c',
    sink,
    clock: createProcessGate(scheduler).clock,
    random: () => 0.999,
    leastTimeoutSeconds: 10,
    report: (state) => health.push(state),
  })
  reflector.start()
  await scheduler.pass(60_000, () => health.includes('degraded'))
  expect(told).toEqual(['emit 6'])
  release()
  await scheduler.pass(1)
  expect(told).toEqual(['emit 6'])
  reflector.stop()
})
