import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { KubeConfig } from '@kubernetes/client-node'
import { type Body, type Client, createClient } from './client.ts'

/** What a row works with: a namespace of its own, with nothing in it at first. */
export interface Scene {
  client: Client
  namespace: string
  /** `/api/v1/namespaces/<own>/pods` and the like; for resources that are in namespaces. */
  pods: string
  configmaps: string
  leases: string
  /** Creates a config map, or a pod that no scheduler takes. */
  create(path: string, name: string, labels?: Record<string, string>): Promise<Body>
  patch(path: string, name: string, change: object): Promise<Body>
  /** The server's minor version: 36 of 1.36. */
  minor: number
  check(actual: unknown, expected: unknown, what?: string): void
  /** Leaves the row out, with the reason. */
  skip(reason: string): never
}

/** One behaviour that a reflector relies on. */
export interface Row {
  name: string
  run(scene: Scene): Promise<void>
}

export interface RowResult {
  name: string
  outcome: 'pass' | 'fail' | 'skip'
  reason?: string
}

/** Rows that run at the same time: most of them wait. */
const atOnce = 4

class Skip extends Error {
  override readonly name = 'Skip'
}

/** Runs all rows against one API server, each in a namespace of its own, which is deleted at the end. */
export async function runConformance(
  config: KubeConfig,
  rows: readonly Row[],
  onResult: (result: RowResult) => void = () => undefined,
): Promise<RowResult[]> {
  const client = createClient(config)
  const results: RowResult[] = []
  const stem = `relay-conformance-${Date.now().toString(36)}`
  try {
    const version = await client.send('GET', '/version')
    const minor = Number.parseInt(String(version.body.minor ?? '0'), 10)
    const left = [...rows.entries()]
    const work = async () => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const [index, row] = next
        const result = await runRow(client, row, `${stem}-${index}`, minor)
        results.push(result)
        onResult(result)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, work))
  } finally {
    await client.close()
  }
  return results
}

async function runRow(client: Client, row: Row, namespace: string, minor: number): Promise<RowResult> {
  const { name } = row
  const made = await client.send('POST', '/api/v1/namespaces', { metadata: { name: namespace } })
  if (made.code !== 201) {
    return { name, outcome: made.code === 403 ? 'skip' : 'fail', reason: `no namespace: ${made.body.message}` }
  }
  try {
    await row.run(createScene(client, namespace, minor))
    return { name, outcome: 'pass' }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return { name, outcome: error instanceof Skip ? 'skip' : 'fail', reason }
  } finally {
    await client.send('DELETE', `/api/v1/namespaces/${namespace}`)
  }
}

function createScene(client: Client, namespace: string, minor: number): Scene {
  const core = `/api/v1/namespaces/${namespace}`
  const skip = (reason: string): never => {
    throw new Skip(reason)
  }
  const settle = async (method: string, path: string, body: unknown, headers: Record<string, string> = {}) => {
    let reply = await client.send(method, path, body, headers)
    // A new namespace gets its service account a moment later, and no pods before.
    for (let n = 0; n < 50 && reply.code === 403 && reply.body.message?.includes('serviceaccount'); n++) {
      await sleep(200)
      reply = await client.send(method, path, body, headers)
    }
    if (reply.code === 403) skip(`not allowed: ${reply.body.message}`)
    if (reply.code >= 300) throw new Error(`${method} ${path}: ${reply.code} ${reply.body.message}`)
    return reply.body
  }
  return {
    client,
    namespace,
    minor,
    pods: `${core}/pods`,
    configmaps: `${core}/configmaps`,
    leases: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
    create(path, name, labels = {}) {
      const containers = [{ name: 'c', image: 'registry.k8s.io/pause:3.10' }]
      // Nobody schedules it, so nobody else changes it.
      const spec = { schedulerName: 'nobody', containers, automountServiceAccountToken: false }
      return settle('POST', path, { metadata: { name, labels }, ...(path.endsWith('/pods') ? { spec } : {}) })
    },
    patch: (path, name, change) =>
      settle('PATCH', `${path}/${name}`, change, { 'content-type': 'application/merge-patch+json' }),
    check(actual, expected, what = '') {
      if (isDeepStrictEqual(actual, expected)) return
      throw new Error(`${what}${what && ': '}expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`)
    },
    skip,
  }
}
