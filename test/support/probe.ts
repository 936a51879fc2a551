import { fileURLToPath } from 'node:url'
import { createTestHarness, unstable_readConfig } from 'wrangler'

// What it knows of the place of a request it would ask a server of Cloudflare for.
process.env.CLOUDFLARE_CF_FETCH_ENABLED = 'false'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Starts the Worker `test/edge/worker/probe.ts`, bundled with the same stand-ins as the product. */
export async function startProbe(redisUrl: string, redisToken = ''): Promise<{ url: string; stop(): Promise<void> }> {
  const {
    alias = {},
    compatibility_date = '',
    compatibility_flags,
  } = unstable_readConfig({
    config: `${root}infra/wrangler.jsonc`,
  })
  const standIns = Object.entries<string>(alias).map(([name, path]) => [
    name,
    path.replace('./edge/', `${root}infra/edge/`),
  ])
  const harness = createTestHarness({
    root,
    workers: [
      {
        config: {
          name: 'probe',
          main: `${root}test/edge/worker/probe.ts`,
          compatibility_date,
          compatibility_flags,
          alias: Object.fromEntries(standIns),
          vars: { REDIS_URL: redisUrl, REDIS_TOKEN: redisToken },
          durable_objects: { bindings: [{ name: 'PROBE', class_name: 'Probe' }] },
          migrations: [{ tag: 'v1', new_sqlite_classes: ['Probe'] }],
        },
      },
    ],
  })
  const { url } = await harness.listen()
  return { url: url.origin, stop: () => harness.close() }
}
