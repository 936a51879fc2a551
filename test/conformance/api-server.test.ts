import { KubeConfig } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../infra/sandbox/sandbox.ts'
import { rows } from './api-server/rows.ts'
import { type RowResult, runConformance } from './api-server/run.ts'

describe('the sandbox', () => {
  let sandbox: Sandbox
  let results: RowResult[]
  beforeAll(async () => {
    sandbox = await createSandbox({ world: false })
    const config = new KubeConfig()
    config.loadFromClusterAndUser({ name: 'c', server: sandbox.url, skipTLSVerify: true }, { name: 'u' })
    results = await runConformance(config, rows)
  })
  afterAll(() => sandbox.stop())

  it.each(rows.map(({ name }) => name))('%s', (name) => {
    expect(results.find((result) => result.name === name)).toEqual({ name, outcome: 'pass' })
  })
})
