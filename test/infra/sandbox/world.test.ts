import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, it } from 'vitest'
import type { Clock } from '../../../infra/sandbox/clock.ts'
import { type KubeObject, objectAt, objectsIn, text } from '../../../infra/sandbox/kube-object.ts'
import { printPod } from '../../../infra/sandbox/pod-printer.ts'
import { createSandbox, type Sandbox, type SandboxOptions } from '../../../infra/sandbox/sandbox.ts'
import { ask, podBody } from './client.ts'

/** A clock that moves only when told, and then runs everything that falls due, in order. */
function createManualClock(): Clock & { advance(ms: number): void } {
  let now = Date.parse('2026-01-01T00:00:00Z')
  let timers: { at: number; callback: () => void }[] = []
  return {
    now: () => now,
    after(delay, callback) {
      const timer = { at: now + delay, callback }
      timers.push(timer)
      return () => {
        timers = timers.filter((other) => other !== timer)
      }
    },
    advance(ms) {
      const end = now + ms
      for (;;) {
        const next = timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
        if (next === undefined) break
        timers = timers.filter((other) => other !== next)
        now = Math.max(now, next.at)
        next.callback()
      }
      now = end
    },
  }
}

let sandbox: Sandbox | undefined
afterEach(async () => {
  await sandbox?.stop()
  sandbox = undefined
})

async function start(options: SandboxOptions = {}) {
  const clock = createManualClock()
  const started = await createSandbox({ clock, ...options })
  sandbox = started
  return { clock, store: started.store, url: started.url }
}

const seconds = (count: number) => count * 1000
const lease = (store: Sandbox['store'], name: string) =>
  store.history('leases').filter((event) => event.object.metadata.name === name)

describe('the living world', () => {
  it('is still at rate 0, with everything running', async () => {
    const { clock, store } = await start({ rate: 0 })
    const before = store.resourceVersion
    clock.advance(seconds(60))
    expect(store.resourceVersion).toBe(before)
    expect(store.list('pods').every((pod) => printPod(pod, clock.now()).status === 'Running')).toBe(true)
  })

  it('does the same for the same seed, and something else for another', async () => {
    const run = async (seed: number) => {
      const { clock, store } = await start({ seed, rate: 20 })
      clock.advance(seconds(30))
      const told = store.history('pods').map((event) => `${event.type} ${event.key} ${event.resourceVersion}`)
      await sandbox?.stop()
      return told
    }
    const [first, again, other] = [await run(1), await run(1), await run(2)]
    expect(first.length).toBeGreaterThan(200)
    expect(again).toEqual(first)
    expect(other).not.toEqual(first)
  })

  it('keeps about the rate that it was given', async () => {
    const { clock, store } = await start({ rate: 10 })
    clock.advance(seconds(30))
    const before = store.history('pods').length
    clock.advance(seconds(300))
    const perSecond = (store.history('pods').length - before) / 300
    expect(perSecond).toBeGreaterThan(6)
    expect(perSecond).toBeLessThan(15)
  })

  it('shows every kind of trouble sooner or later', async () => {
    const { clock, store } = await start({ rate: 20 })
    clock.advance(seconds(300))
    const words = new Set(store.history('pods').map((event) => printPod(event.object, clock.now()).status))
    for (const word of [
      'Pending',
      'ContainerCreating',
      'PodInitializing',
      'Init:0/1',
      'Init:Error',
      'Init:CrashLoopBackOff',
      'Running',
      'Error',
      'OOMKilled',
      'CrashLoopBackOff',
      'Completed',
      'Evicted',
      'Terminating',
    ]) {
      expect([...words]).toContain(word)
    }
    const objects = store.history('pods').map((event) => event.object)
    const conditions = objects.flatMap((pod) => objectsIn(objectAt(pod, 'status').conditions))
    expect(conditions.some((condition) => condition.reason === 'Unschedulable')).toBe(true)
    expect(conditions.some((condition) => condition.type === 'DisruptionTarget')).toBe(true)
    expect(
      objects.some((pod) =>
        objectsIn(objectAt(pod, 'status').containerStatuses).some((one) => Number(one.restartCount) > 1),
      ),
    ).toBe(true)
  })

  it('makes pods of the size of real ones, two fifths of it ownership', async () => {
    const { store } = await start({ rate: 0 })
    const sizes = store.list('pods').map((pod) => JSON.stringify(pod).length)
    const owned = store.list('pods').map((pod) => JSON.stringify(pod.metadata.managedFields).length)
    const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)
    expect(sum(sizes) / sizes.length).toBeGreaterThan(4800)
    expect(sum(sizes) / sizes.length).toBeLessThan(8500)
    expect(sum(owned) / sum(sizes)).toBeGreaterThan(0.3)
  })

  it('binds and runs what a user creates, and ends what a user deletes', async () => {
    const { clock, store, url } = await start({ rate: 0 })
    const pods = `${url}/api/v1/namespaces/default/pods`
    await ask(pods, { method: 'POST', body: podBody('mine', {}) })
    clock.advance(seconds(10))
    const steps = () =>
      store
        .history('pods')
        .filter((event) => event.object.metadata.name === 'mine')
        .map((event) => `${event.type} ${printPod(event.object, clock.now()).status}`)
    expect(steps()).toEqual(['ADDED Pending', 'MODIFIED Pending', 'MODIFIED ContainerCreating', 'MODIFIED Running'])
    await ask(`${pods}/mine`, { method: 'DELETE' })
    clock.advance(seconds(10))
    expect(steps().slice(4)).toEqual([
      'MODIFIED Terminating',
      'MODIFIED Completed',
      'MODIFIED Completed',
      'DELETED Completed',
    ])
  })

  it('completes a user’s one-off pod and crashes one that exits badly', async () => {
    const { clock, store, url } = await start({ rate: 0 })
    const create = (name: string, spec: object) => {
      const body = podBody(name, {})
      return ask(`${url}/api/v1/namespaces/default/pods`, {
        method: 'POST',
        body: { ...body, spec: { ...body.spec, ...spec } },
      })
    }
    await create('once', { restartPolicy: 'Never' })
    await create('bad', { containers: [{ name: 'c', image: 'busybox', command: ['sh', '-c', 'exit 1'] }] })
    await create('nowhere', { nodeSelector: { nope: '1' } })
    clock.advance(seconds(20))
    const word = (name: string) => printPod(store.get('pods', 'default', name) as KubeObject, clock.now())
    expect(word('once').status).toBe('Completed')
    expect(Number.parseInt(word('bad').restarts, 10)).toBeGreaterThan(0)
    const [condition] = objectsIn(objectAt(store.get('pods', 'default', 'nowhere'), 'status').conditions)
    expect(condition).toMatchObject({ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' })
  })

  it('replaces a deployment’s pod that a user deletes', async () => {
    const { clock, store, url } = await start({ rate: 0 })
    const [victim] = store.list('pods', 'shop')
    const count = store.list('pods', 'shop').length
    await ask(`${url}/api/v1/namespaces/shop/pods/${victim?.metadata.name}?gracePeriodSeconds=0`, { method: 'DELETE' })
    clock.advance(seconds(20))
    const now = store.list('pods', 'shop')
    expect(now).toHaveLength(count)
    expect(now.some((pod) => pod.metadata.uid === victim?.metadata.uid)).toBe(false)
    expect(now.every((pod) => printPod(pod, clock.now()).status === 'Running')).toBe(true)
  })

  it('renews leases at their own pace, with microseconds', async () => {
    const { clock, store } = await start({ rate: 1 })
    clock.advance(seconds(100))
    const renewals = lease(store, 'node-1').length
    expect(renewals).toBeGreaterThanOrEqual(9)
    expect(renewals).toBeLessThanOrEqual(12)
    for (const event of store.history('leases')) {
      expect(text(objectAt(event.object, 'spec').renewTime)).toMatch(/\.\d{6}Z$/)
    }
  })

  it('releases politely, and takes over from the crashed only after expiry', async () => {
    const { clock, store } = await start({ rate: 1 })
    clock.advance(seconds(1200))
    const specs = lease(store, 'ledger-leader').map((event) => objectAt(event.object, 'spec'))
    let releases = 0
    let takeovers = 0
    for (const [index, spec] of specs.entries()) {
      const before = specs[index - 1]
      if (before === undefined || spec.holderIdentity === before.holderIdentity) continue
      if (spec.holderIdentity === '') {
        releases++
        expect(spec.leaseDurationSeconds).toBe(1)
        expect(spec.leaseTransitions).toBe(before.leaseTransitions)
      } else {
        expect(spec.leaseTransitions).toBe(Number(before.leaseTransitions) + 1)
        if (before.holderIdentity !== '') {
          takeovers++
          expect(Date.parse(text(spec.renewTime)) - Date.parse(text(before.renewTime))).toBeGreaterThanOrEqual(15_000)
        }
      }
    }
    expect(releases).toBeGreaterThan(0)
    expect(takeovers).toBeGreaterThan(0)
  })
})

it.each([
  ['payments/ledger-leader', 'payments', 'ledger'],
  ['kube-system/ingress-leader', 'platform', 'ingress'],
])('elects %s among running pods, and another one when the leader’s pod goes', async (key, namespace, app) => {
  const { clock, store, url } = await start({ rate: 1 })
  const [place = '', name = ''] = key.split('/')
  const host = () => text(objectAt(store.get('leases', place, name), 'spec').holderIdentity).split('_')[0] ?? ''
  const first = host()
  expect(store.get('pods', namespace, first)?.metadata.labels?.app).toBe(app)
  await ask(`${url}/api/v1/namespaces/${namespace}/pods/${first}?gracePeriodSeconds=0`, { method: 'DELETE' })
  clock.advance(seconds(30))
  expect(host()).not.toBe(first)
  const holders = lease(store, name).map(({ object }) => text(objectAt(object, 'spec').holderIdentity))
  for (const holder of holders.filter(Boolean)) {
    const known = store.history('pods').some(({ object }) => holder.startsWith(`${object.metadata.name}_`))
    expect([holder, known]).toEqual([holder, true])
  }
})

describe('the sandbox command', () => {
  const main = new URL('../../../infra/sandbox/main.ts', import.meta.url).pathname

  it.each(['SIGTERM', 'SIGINT', 'disconnect'] as const)(
    'says where it listens, and leaves quietly on %s',
    async (how) => {
      const child = spawn(process.execPath, [main, '--port', '0', '--rate', '50'], {
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      })
      let errors = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        errors += chunk.toString()
      })
      const lines: string[] = []
      const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream })
      reader.on('line', (line) => lines.push(line))
      await once(reader, 'line')
      const { url } = JSON.parse(lines[0] ?? '') as { url: string }
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      expect((await ask(`${url}/readyz`)).text).toBe('ok')
      if (how === 'disconnect') child.disconnect()
      else child.kill(how)
      const [code] = (await once(child, 'exit')) as [number]
      expect([code, lines.length, errors]).toEqual([0, 1, ''])
    },
  )
})
