import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../infra/sandbox/sandbox.ts'
import { gapType, type ObjectData, type RelayEvent } from '../../shared/event.ts'
import { createFastClock } from '../support/fast-clock.ts'
import { comparePodLog, type Fidelity, faithful } from '../support/fidelity.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { readCursor, readEvents, readKnown, startTestWatcher, type TestWatcher } from '../support/watcher.ts'

/** A sandbox, a Redis and a watcher that a test puts faults between. */
export interface Stage {
  readonly redis: Redis
  readonly server: TestRedis
  readonly cluster: string
  sandbox: Sandbox
  /** Makes another sandbox, which ends with the test. */
  createSandbox(options?: SandboxOptions): Promise<Sandbox>
  /** Starts a watcher and waits for its first sync. `api` and `redisUrl`: what it is told these are. */
  watch(
    api: string,
    options?: { redisUrl?: string; leastTimeoutSeconds?: number; speed?: number },
  ): Promise<TestWatcher>
  /** Creates, changes and deletes some pods. */
  stir(count: number): Promise<void>
  events(): Promise<RelayEvent[]>
  gaps(): Promise<RelayEvent[]>
  known(): Promise<Map<string, ObjectData>>
  cursor(): Promise<string>
  /** Waits until the log has reached the sandbox, and checks that it tells all that happened, once and in order. */
  verify(): Promise<Fidelity>
  /** Called at the end of the test. */
  onEnd(end: () => unknown): void
}

/** How much faster than this machine's the watchers' clocks run: half a minute of silence passes in half a second. */
const speed = 60

/** One stage for each test of a file. */
export function setStage(): Stage {
  let server: TestRedis
  let redis: Redis
  let runs = 0
  let random = 1
  let since = 0
  let watchers: TestWatcher[] = []
  let ends: (() => unknown)[] = []
  const dice = (sides: number) => {
    random = (random * 48_271) % 2_147_483_647
    return random % sides
  }

  const stage: Stage = {
    get redis() {
      return redis
    },
    get server() {
      return server
    },
    get cluster() {
      return `f${runs}`
    },
    sandbox: undefined as unknown as Sandbox,
    async createSandbox(options = {}) {
      const sandbox = await createSandbox({ world: false, seed: runs, freshnessPatience: 50, ...options })
      stage.onEnd(() => sandbox.stop())
      return sandbox
    },
    async watch(api, { redisUrl = server.url, leastTimeoutSeconds = 300, speed: factor = speed } = {}) {
      const clock = createFastClock(factor)
      const { cluster } = stage
      watchers.push(startTestWatcher({ server: api, redisUrl, cluster, resources: 'pods', clock, leastTimeoutSeconds }))
      await expect.poll(() => readCursor(redis, cluster, 'pods'), { timeout: 20_000 }).not.toBe('')
      if (since === 0) since = Number(await readCursor(redis, cluster, 'pods'))
      return watchers.at(-1) as TestWatcher
    },
    async stir(count) {
      for (let n = 0; n < count; n++) {
        const name = `p${dice(8)}`
        const phase = ['Pending', 'Running', 'Failed'][dice(3)] ?? ''
        const old = stage.sandbox.store.get('pods', 'shop', name)
        if (old !== undefined && dice(4) === 0) stage.sandbox.store.remove('pods', 'shop', name)
        else putPod(stage.sandbox, name, { phase })
        if (n % 5 === 0) await new Promise((resolve) => setTimeout(resolve, dice(4)))
      }
    },
    events: () => readEvents(redis, stage.cluster),
    gaps: async () => (await stage.events()).filter(({ type }) => type === gapType),
    known: () => readKnown(redis, stage.cluster, 'pods'),
    cursor: () => readCursor(redis, stage.cluster, 'pods'),
    async verify() {
      const { store } = stage.sandbox
      const last = store.history('pods').at(-1)?.resourceVersion ?? 0
      await expect
        .poll(async () => Number(await readCursor(redis, stage.cluster, 'pods')), { timeout: 25_000 })
        .toBeGreaterThanOrEqual(last)
      const known = await readKnown(redis, stage.cluster, 'pods')
      const fidelity = comparePodLog({ store, since, events: await stage.events(), known })
      expect(fidelity).toMatchObject(faithful)
      return fidelity
    },
    onEnd(end) {
      ends.push(end)
    },
  }

  beforeAll(async () => {
    server = await startTestRedis()
    redis = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 })
    redis.on('error', () => undefined)
  })
  afterAll(async () => {
    redis.disconnect()
    await server.stop()
  })
  beforeEach(async () => {
    runs++
    since = 0
    stage.sandbox = await stage.createSandbox()
  })
  afterEach(async () => {
    await Promise.all(watchers.map((watcher) => watcher.stop()))
    watchers = []
    for (const end of ends.reverse()) await end()
    ends = []
  })
  return stage
}

/** Creates or changes a pod, past validation. */
export function putPod(sandbox: Sandbox, name: string, more: { phase?: string; filler?: string } = {}) {
  const { phase = 'Pending', filler } = more
  const old = sandbox.store.get('pods', 'shop', name)
  return sandbox.store.put('pods', {
    metadata: { ...(old?.metadata ?? {}), name, namespace: 'shop', ...(filler ? { annotations: { filler } } : {}) },
    spec: { containers: [{ name: 'c', image: 'x' }] },
    status: { phase },
  } as Parameters<typeof sandbox.store.put>[1])
}
