import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestHarness, experimental_readRawConfig, type TestHarness } from 'wrangler'
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
  readonly limits?: Partial<Limits> & { readonly requests?: number }
  /** More bindings, or others. */
  readonly vars?: Readonly<Record<string, string | number>>
  /** With the rate limit that production binds, of so many requests a minute. */
  readonly perMinute?: number
}

// What it knows of the place of a request it would ask a server of Cloudflare for.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = 'false'

const root = fileURLToPath(new URL('../..', import.meta.url))
const configPath = 'infra/wrangler.jsonc'
const cluster = 'test'

/** Bundles the Worker as a deployment does, and starts it. */
export async function startTestEdge(options: TestEdgeOptions): Promise<TestEdge> {
  const { redisUrl, redisToken, limits, perMinute } = options
  const vars = {
    RELAY_CLUSTER: cluster,
    RELAY_RESOURCES: 'pods,leases',
    WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8',
    WEBHOOK_ALLOW_HTTP: 'true',
    LOG_LEVEL: 'warn',
    ...(limits === undefined ? {} : { HUB_LIMITS: { ...limits } }),
    ...options.vars,
  }
  const secrets = {
    REDIS_URL: redisUrl,
    WEBHOOK_SECRET_KEY: 'k'.repeat(43),
    ...(redisToken === undefined ? {} : { REDIS_TOKEN: redisToken }),
  }
  const harness = createTestHarness(
    perMinute === undefined
      ? { root, workers: [{ configPath, vars, secrets }] }
      : { root: join(root, 'infra'), workers: [{ config: bindRateLimit(perMinute, { ...vars, ...secrets }) }] },
  )
  const { url } = await harness.listen()
  return {
    url: url.origin,
    harness,
    reload: () => harness.update((options) => options),
    stop: () => harness.close(),
  }
}

/** A harness lets only variables be replaced; so that nothing else is, all the rest is what the file says. */
function bindRateLimit(perMinute: number, vars: Record<string, string | number | Partial<Limits>>) {
  const { env, $schema, ...config } = experimental_readRawConfig({ config: join(root, configPath) }).rawConfig
  const [bound] = env?.production?.ratelimits ?? []
  if (bound === undefined) throw new Error('production binds no rate limit')
  return {
    ...config,
    vars: { ...config.vars, ...vars },
    ratelimits: [{ ...bound, simple: { limit: perMinute, period: 60 as const } }],
  }
}
