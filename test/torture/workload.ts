import type { Sandbox } from '../../infra/sandbox/sandbox.ts'
import type { Random } from './random.ts'

/** What users and controllers do to a cluster, as fast as is asked. */
export interface Workload {
  /** Changes so far. */
  readonly changes: number
  stop(): void
}

const tickMs = 10
const namespaces = ['shop', 'blog', 'jobs'] as const
const phases = ['Pending', 'Running', 'Succeeded', 'Failed'] as const

type Stored = Parameters<Sandbox['store']['put']>[1]

/** Starts creating, changing, deleting and re-creating pods, and renewing leases. `rate`: changes per second. */
export function startWorkload(sandbox: Sandbox, random: Random, rate: number): Workload {
  const { store } = sandbox
  let changes = 0
  let due = 0

  function changePod(): void {
    const namespace = random.pick(namespaces)
    const name = `p${random.dice(40)}`
    const old = store.get('pods', namespace, name)
    const act = random.dice(10)
    if (old !== undefined && act < 2) {
      store.remove('pods', namespace, name)
      // A successor under the same name is another object.
      if (act === 0) putPod(namespace, name, undefined)
    } else putPod(namespace, name, old)
  }

  function putPod(namespace: string, name: string, old: Stored | undefined): void {
    store.put('pods', {
      metadata: {
        ...old?.metadata,
        name,
        namespace,
        labels: { app: `a${random.dice(3)}` },
        annotations: { note: 'n'.repeat(random.dice(2000)) },
      },
      spec: { containers: [{ name: 'c', image: 'x' }], ...(random.dice(2) === 0 ? { nodeName: 'node-1' } : {}) },
      status: { phase: random.pick(phases) },
    } as Stored)
  }

  function renewLease(): void {
    const name = `lock-${random.dice(8)}`
    const old = store.get('leases', 'shop', name)
    const holder = random.dice(20) === 0 || old === undefined ? `holder-${random.dice(3)}` : undefined
    const spec = (old?.spec ?? {}) as Record<string, unknown>
    store.put('leases', {
      metadata: { ...old?.metadata, name, namespace: 'shop' },
      spec: {
        ...spec,
        ...(holder === undefined ? {} : { holderIdentity: holder }),
        leaseDurationSeconds: 600,
        renewTime: new Date().toISOString(),
      },
    } as Stored)
  }

  const timer = setInterval(() => {
    due += (rate * tickMs) / 1000
    for (; due >= 1; due--) {
      if (random.dice(6) === 0) renewLease()
      else changePod()
      changes++
    }
  }, tickMs)
  return {
    get changes() {
      return changes
    },
    stop: () => clearInterval(timer),
  }
}
