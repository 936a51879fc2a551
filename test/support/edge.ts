import { fileURLToPath } from 'node:url'
import { createTestHarness, type TestHarness } from 'wrangler'
import type { Limits } from '../../functions/limits.ts'

/** The Worker in a real workerd, which this machine alone can reach. */
export interface TestEdge {
  readonly url: string
  readonly harness: TestHarness
  /** Ends every object with all of its connections, as a deployment does; the next requests start others. */
  reload(): Promise<void>
  stop(): Promise<void>
}

export interface TestEdgeOptions {
  readonly redisUrl: string
  readonly redisToken?: string
  readonly limits?: Partial<Limits>
  /** More bindings, or others. */
  readonly vars?: Readonly<Record<string, string | number>>
}

// What it knows of the place of a request it would ask a server of Cloudflare for.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = 'false'

const root = fileURLToPath(new URL('../..', import.meta.url))
const cluster = 'test'

/** Bundles the Worker as a deployment does, and starts it. */
export async function startTestEdge({ redisUrl, redisToken, limits, vars }: TestEdgeOptions): Promise<TestEdge> {
  const harness = createTestHarness({
    root,
    workers: [
      {
        configPath: 'infra/wrangler.jsonc',
        vars: {
          RELAY_CLUSTER: cluster,
          RELAY_RESOURCES: 'pods,leases',
          WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8',
          WEBHOOK_ALLOW_HTTP: 'true',
          LOG_LEVEL: 'warn',
          ...(limits === undefined ? {} : { HUB_LIMITS: { ...limits } }),
          ...vars,
        },
        secrets: {
          REDIS_URL: redisUrl,
          WEBHOOK_SECRET_KEY: 'k'.repeat(43),
          ...(redisToken === undefined ? {} : { REDIS_TOKEN: redisToken }),
        },
      },
    ],
  })
  const { url } = await harness.listen()
  return {
    url: url.origin,
    harness,
    reload: () => harness.update((options) => options),
    stop: () => harness.close(),
  }
}
