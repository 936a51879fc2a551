import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { ask, recording, startStill } from './client.ts'

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await startStill()
})
afterAll(() => sandbox.stop())

interface Row {
  name: string
}

const get = (path: string, headers: Record<string, string> = {}) => ask(sandbox.url + path, { headers })
const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'

describe('discovery', () => {
  it.each(['/healthz', '/livez', '/readyz', '/readyz/ping'])('is well at %s', async (path) => {
    expect((await get(path)).text).toBe('ok')
  })

  it('describes each core resource that it has exactly as recorded', async () => {
    const recorded = JSON.parse(recording('api-v1.body')) as { resources: Row[] }
    const own = (await get('/api/v1')).json.resources as Row[]
    expect(own.length).toBeGreaterThan(10)
    for (const row of own)
      expect(JSON.stringify(row)).toBe(JSON.stringify(recorded.resources.find((one) => one.name === row.name)))
  })

  it('describes each group that it has exactly as recorded', async () => {
    const recorded = JSON.parse(recording('apis.body')) as { groups: Row[] }
    for (const group of (await get('/apis')).json.groups as Row[]) {
      expect(group).toEqual(recorded.groups.find((one) => one.name === group.name))
      expect((await get(`/apis/${group.name}`)).json.kind).toBe('APIGroup')
    }
  })

  it('serves aggregated discovery to those who ask, and the plain kind to those who do not', async () => {
    const core = await get('/api', { accept: `${aggregated},application/json` })
    expect(core.headers['content-type']).toBe(aggregated)
    const groups = await get('/apis', { accept: aggregated })
    const items = groups.json.items as {
      metadata: { name: string }
      versions: { resources: { resource: string }[] }[]
    }[]
    const leases = items.find((item) => item.metadata.name === 'coordination.k8s.io')
    expect(leases?.versions[0]?.resources[0]?.resource).toBe('leases')
    expect((await get('/apis', { accept: 'application/json' })).json.kind).toBe('APIGroupList')
  })

  it('tells kubectl that every kind takes fieldValidation', async () => {
    const index = (await get('/openapi/v3')).json.paths as Record<string, { serverRelativeURL: string }>
    const url = index['apis/coordination.k8s.io/v1']?.serverRelativeURL ?? ''
    const document = (await get(url)).json as { paths: Record<string, { patch?: { parameters: Row[] } }> }
    const path = document.paths['/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}']
    expect(path?.patch?.parameters.map((parameter) => parameter.name)).toContain('fieldValidation')
  })

  it.each(['/api/v2', '/apis/nope', '/api/v1/pods/extra/deep/path', '/nope'])('knows no %s', async (path) => {
    const reply = await get(path)
    expect([reply.code, reply.text]).toEqual([404, '404 page not found\n'])
  })
})
