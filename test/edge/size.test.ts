import { expect, test } from 'vitest'
import { measureSize } from './size/measure.ts'

test.each(['', 'production'])('could be deployed to environment "%s", with at most 150 KiB', async (environment) => {
  const { gzip, parts } = await measureSize(environment)
  expect(gzip).toBeLessThanOrEqual(150)
  const names = parts.map(([name]) => name)
  expect(names).toContain('hono')
  for (const name of ['bullmq', 'ioredis', '@kubernetes/client-node', 'undici', 'pino'])
    expect(names).not.toContain(name)
})
