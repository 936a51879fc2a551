import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { KubeObject } from '../../../infra/sandbox/kube-object.ts'
import { defineResource, type Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { type Ask, ask, podBody, startStill } from './client.ts'

let sandbox: Sandbox
beforeEach(async () => {
  sandbox = await startStill({
    resources: [defineResource({ group: 'example.com', plural: 'widgets', kind: 'Widget' })],
  })
})
afterEach(() => sandbox.stop())

const core = '/api/v1/namespaces/shop'
const leases = '/apis/coordination.k8s.io/v1/namespaces/shop/leases'
const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  ask(sandbox.url + path, { method, body, headers } satisfies Ask)
const createPod = async (name: string, spec: object = {}) => {
  const body = podBody(name)
  return (await send('POST', `${core}/pods`, { ...body, spec: { ...body.spec, ...spec } }))
    .json as unknown as KubeObject
}
const bind = (name: string) =>
  send('POST', `${core}/pods/${name}/binding`, { metadata: { name }, target: { kind: 'Node', name: 'node-1' } })
const patch = (path: string, body: unknown, type = 'strategic-merge-patch') =>
  send('PATCH', path, body, { 'content-type': `application/${type}+json` })
const events = (plural: string) =>
  sandbox.store.history(plural).map(({ type, object }) => `${type} ${object.metadata.name}`)

describe('creating', () => {
  it('fills in identity, defaults, status and ownership', async () => {
    const pod = await createPod('a')
    expect(pod.metadata.uid).toMatch(/^[0-9a-f]{8}-/)
    expect(pod.metadata.generation).toBe(1)
    expect(pod.spec).toMatchObject({ restartPolicy: 'Always', schedulerName: 'default-scheduler', priority: 0 })
    expect(pod.status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' })
    expect(pod.metadata.managedFields?.[0]?.manager).toBe('test')
    expect(pod).not.toHaveProperty('metadata.selfLink')
  })

  it('generates names, and refuses a second object of the same name', async () => {
    const generated = await send('POST', `${core}/pods`, { ...podBody(''), metadata: { generateName: 'job-' } })
    expect((generated.json.metadata as { name: string }).name).toMatch(/^job-[b-z0-9]{5}$/)
    await createPod('a')
    const again = await send('POST', `${core}/pods`, podBody('a'))
    expect(again.code).toBe(409)
    expect(again.json).toMatchObject({
      reason: 'AlreadyExists',
      message: 'pods "a" already exists',
      details: { name: 'a', kind: 'pods' },
    })
  })

  it('answers a dry run alike and stores nothing', async () => {
    const before = sandbox.store.resourceVersion
    const reply = await send('POST', `${core}/pods?dryRun=All`, podBody('a'))
    expect(reply.code).toBe(201)
    expect(reply.json.metadata).not.toHaveProperty('resourceVersion')
    expect(sandbox.store.resourceVersion).toBe(before)
    expect((await send('GET', `${core}/pods/a`)).code).toBe(404)
  })

  it.each([
    [
      podBody('Bad_Name'),
      422,
      'Pod "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain',
    ],
    [{ metadata: {}, spec: podBody('x').spec }, 422, 'metadata.name: Required value: name or generateName is required'],
    [{ metadata: { name: 'a' }, spec: {} }, 422, 'Pod "a" is invalid: spec.containers: Required value'],
    [{ metadata: { name: 'a', namespace: 'other' } }, 400, 'the namespace of the provided object does not match'],
    [
      { metadata: { name: 'a', resourceVersion: '1' } },
      400,
      'resourceVersion should not be set on objects to be created',
    ],
    [podBody('a', { 'a b': 'c' }), 422, 'metadata.labels: Invalid value: "a b": name part must consist'],
    ['{', 400, 'json parse error'],
    ['', 400, 'EOF'],
  ])('refuses %j', async (body, code, message) => {
    const reply = await send('POST', `${core}/pods`, body)
    expect(reply.code).toBe(code)
    expect(reply.json.message).toContain(message)
  })

  it('refuses what nobody can read, unknown namespaces and wrong methods', async () => {
    expect((await send('POST', `${core}/pods`, 'x', { 'content-type': 'text/plain' })).code).toBe(415)
    const nowhere = await send('POST', '/api/v1/namespaces/nowhere/pods', podBody('a'))
    expect([nowhere.code, nowhere.json.message]).toEqual([404, 'namespaces "nowhere" not found'])
    const put = await send('PUT', `${core}/pods`, podBody('a'))
    expect([put.code, put.json.reason, put.json.details]).toEqual([405, 'MethodNotAllowed', {}])
  })

  it('refuses fields that it does not know when asked to be strict, and drops them with a warning otherwise', async () => {
    const body = { ...podBody('a'), spec: { ...podBody('a').spec, contaners: [] } }
    const strict = await send('POST', `${core}/pods?fieldValidation=Strict`, body)
    expect(strict.code).toBe(400)
    expect(strict.json.message).toBe(
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.contaners"',
    )
    const warned = await send('POST', `${core}/pods`, body)
    expect(warned.code).toBe(201)
    expect(warned.headers.warning).toBe('299 - "unknown field \\"spec.contaners\\""')
    expect(warned.json.spec).not.toHaveProperty('contaners')
  })

  it('is as strict about the fields of a patch', async () => {
    await createPod('a')
    const reply = await patch(`${core}/pods/a?fieldValidation=Strict`, { spec: { nope: 1 } })
    expect(reply.code).toBe(422)
    expect(reply.json.message).toMatch(
      /^ "" is invalid: patch: Invalid value: ".*": strict decoding error: unknown field "spec.nope"$/,
    )
  })

  it('reads null as absent and keeps no empty maps', async () => {
    const metadata = { name: 'a', creationTimestamp: null, labels: {}, annotations: null }
    const reply = await send('POST', `${core}/pods`, { ...podBody('a'), metadata })
    expect(reply.json.metadata).not.toHaveProperty('labels')
    expect(reply.json.metadata).not.toHaveProperty('annotations')
    expect(JSON.stringify(reply.json.metadata)).not.toContain('f:metadata')
  })

  it('takes YAML, and writes it', async () => {
    const yaml = 'metadata:\n  name: y\nspec:\n  holderIdentity: me\n'
    const reply = await send('POST', leases, yaml, { 'content-type': 'application/yaml', accept: 'application/yaml' })
    expect(reply.code).toBe(201)
    expect(reply.headers['content-type']).toBe('application/yaml')
    expect(reply.text).toContain('holderIdentity: me')
  })

  it('serves resources that were added like custom ones', async () => {
    const path = '/apis/example.com/v1/namespaces/shop/widgets'
    expect((await send('POST', path, { metadata: { name: 'w' }, spec: { size: 3 } })).code).toBe(201)
    const groups = (await send('GET', '/apis')).json.groups as { name: string }[]
    expect(groups.map((group) => group.name)).toContain('example.com')
    expect((await send('GET', path)).json.kind).toBe('WidgetList')
  })
})

describe('updating', () => {
  it('refuses a stale resourceVersion in the real words', async () => {
    const pod = await createPod('a')
    await patch(`${core}/pods/a`, { metadata: { labels: { x: '1' } } })
    const stale = await send('PUT', `${core}/pods/a`, pod)
    expect(stale.code).toBe(409)
    expect(stale.json.message).toBe(
      'Operation cannot be fulfilled on pods "a": the object has been modified; please apply your changes to the latest version and try again',
    )
    const versioned = await patch(`${core}/pods/a`, { metadata: { resourceVersion: '1', labels: { x: '2' } } })
    expect(versioned.code).toBe(409)
  })

  it('wants a resourceVersion for leases', async () => {
    await send('POST', leases, { metadata: { name: 'l' }, spec: {} })
    const reply = await send('PUT', `${leases}/l`, { metadata: { name: 'l' }, spec: { holderIdentity: 'x' } })
    expect([reply.code, reply.json.message]).toEqual([
      422,
      'leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update',
    ])
  })

  it('commits nothing when nothing changes', async () => {
    const pod = await createPod('a')
    const same = await send('PUT', `${core}/pods/a`, pod)
    expect((same.json.metadata as { resourceVersion: string }).resourceVersion).toBe(pod.metadata.resourceVersion)
    await patch(`${core}/pods/a`, { metadata: { labels: { app: 'web' } } })
    expect(events('pods')).toEqual(['ADDED a'])
  })

  it('protects the spec of a pod, but lets its images change', async () => {
    await createPod('a')
    const refused = await patch(`${core}/pods/a`, { spec: { restartPolicy: 'Never' } })
    expect(refused.code).toBe(422)
    expect(refused.json.message).toContain(
      'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`',
    )
    const changed = await patch(`${core}/pods/a`, { spec: { containers: [{ name: 'c', image: 'busybox:2' }] } })
    expect(changed.json).toMatchObject({ metadata: { generation: 2 }, spec: { containers: [{ image: 'busybox:2' }] } })
  })

  it('keeps spec and status apart', async () => {
    await createPod('a')
    await patch(`${core}/pods/a`, { status: { phase: 'Running' } }, 'merge-patch')
    expect(sandbox.store.get('pods', 'shop', 'a')?.status).toMatchObject({ phase: 'Pending' })
    const reply = await patch(
      `${core}/pods/a/status`,
      { spec: { nodeName: 'x' }, status: { phase: 'Running' } },
      'merge-patch',
    )
    expect(reply.json.status).toMatchObject({ phase: 'Running' })
    expect(reply.json.spec).not.toHaveProperty('nodeName')
  })

  it('merges conditions by type and replaces container statuses in a strategic merge patch', async () => {
    await createPod('a')
    const ready = { type: 'Ready', status: 'False' }
    await patch(`${core}/pods/a/status`, {
      status: { conditions: [ready], containerStatuses: [{ name: 'c' }, { name: 'd' }] },
    })
    const reply = await patch(`${core}/pods/a/status`, {
      status: {
        conditions: [{ type: 'Initialized', status: 'True' }],
        containerStatuses: [{ name: 'c', ready: true }],
      },
    })
    const status = reply.json.status as { conditions: { type: string }[]; containerStatuses: object[] }
    expect(status.conditions.map((condition) => condition.type)).toEqual(['Ready', 'Initialized'])
    expect(status.containerStatuses).toEqual([
      { name: 'c', state: {}, lastState: {}, ready: true, restartCount: 0, image: '', imageID: '' },
    ])
  })

  it('follows the directives of a strategic merge patch', async () => {
    const metadata = { name: 'a', finalizers: ['example.com/a', 'example.com/b'] }
    await send('POST', `${core}/pods`, { ...podBody('a'), metadata })
    const reply = await patch(`${core}/pods/a`, {
      metadata: { '$deleteFromPrimitiveList/finalizers': ['example.com/a'], labels: { $patch: 'replace', only: 'x' } },
    })
    expect(reply.json.metadata).toMatchObject({ finalizers: ['example.com/b'], labels: { only: 'x' } })
  })

  it('applies JSON patches, and refuses those whose test fails', async () => {
    await createPod('a')
    const operations = [
      { op: 'test', path: '/metadata/labels/app', value: 'web' },
      { op: 'add', path: '/metadata/labels/x', value: 'y' },
    ]
    expect((await patch(`${core}/pods/a`, operations, 'json-patch')).json.metadata).toMatchObject({
      labels: { x: 'y' },
    })
    const failing = [{ op: 'test', path: '/metadata/labels/app', value: 'nope' }]
    expect((await patch(`${core}/pods/a`, failing, 'json-patch')).code).toBe(422)
    expect((await patch(`${core}/pods/a`, {}, 'odd-patch')).code).toBe(415)
  })

  it('applies server-side, creating what is missing and owning it', async () => {
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name: 'l' },
      spec: { holderIdentity: 'x' },
    }
    const apply = (query: string) =>
      send('PATCH', `${leases}/l?${query}`, body, { 'content-type': 'application/apply-patch+yaml' })
    expect((await apply('')).code).toBe(400)
    const created = await apply('fieldManager=me&force=true')
    expect(created.code).toBe(201)
    const [owner] = (created.json as unknown as KubeObject).metadata.managedFields ?? []
    expect([owner?.manager, owner?.operation]).toEqual(['me', 'Apply'])
    expect((await apply('fieldManager=me')).code).toBe(200)
  })

  it('writes lease times with six digits, and refuses what is no time', async () => {
    const spec = { holderIdentity: 'x', leaseDurationSeconds: 15, renewTime: '2026-01-01T00:00:00.5Z' }
    const created = await send('POST', leases, { metadata: { name: 'l' }, spec })
    expect(created.json.spec).toMatchObject({ renewTime: '2026-01-01T00:00:00.500000Z' })
    expect((await patch(`${leases}/l`, { spec: { renewTime: 'soon' } }, 'merge-patch')).code).toBe(400)
    const negative = await patch(`${leases}/l`, { spec: { leaseDurationSeconds: 0 } }, 'merge-patch')
    expect(negative.json.message).toContain('spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0')
  })

  it('binds a pod once, node and condition in one change', async () => {
    await createPod('a')
    const bound = await bind('a')
    expect([bound.code, bound.json.status]).toEqual([201, 'Success'])
    expect(events('pods')).toEqual(['ADDED a', 'MODIFIED a'])
    expect(sandbox.store.get('pods', 'shop', 'a')).toMatchObject({
      metadata: { generation: 1 },
      spec: { nodeName: 'node-1' },
      status: { conditions: [{ type: 'PodScheduled', status: 'True' }] },
    })
    const again = await bind('a')
    expect(again.code).toBe(409)
    expect(again.json.message).toBe(
      'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "node-1"',
    )
  })
})

describe('deleting', () => {
  it('removes an unbound pod at once, through its last second', async () => {
    await createPod('a')
    const reply = await send('DELETE', `${core}/pods/a`)
    expect(reply.code).toBe(200)
    expect(events('pods')).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a'])
    const [, marked, deleted] = sandbox.store.history('pods')
    expect(marked?.object.metadata).toMatchObject({ deletionGracePeriodSeconds: 0, generation: 2 })
    expect(deleted?.object.metadata.resourceVersion).toBe(String(deleted?.resourceVersion))
  })

  it('gives a bound pod its grace, which may only be shortened', async () => {
    await createPod('a')
    await bind('a')
    const first = await send('DELETE', `${core}/pods/a`)
    expect(first.json.metadata).toMatchObject({ deletionGracePeriodSeconds: 30, generation: 2 })
    await send('DELETE', `${core}/pods/a?gracePeriodSeconds=60`)
    expect(events('pods')).toEqual(['ADDED a', 'MODIFIED a', 'MODIFIED a'])
    await send('DELETE', `${core}/pods/a`, { gracePeriodSeconds: 0 })
    expect(events('pods').slice(3)).toEqual(['MODIFIED a', 'DELETED a'])
  })

  it('checks preconditions', async () => {
    const pod = await createPod('a')
    const wrong = await send('DELETE', `${core}/pods/a`, { preconditions: { uid: 'other' } })
    expect(wrong.code).toBe(409)
    expect(wrong.json.message).toContain(
      `the UID in the precondition (other) does not match the UID in record (${pod.metadata.uid})`,
    )
    expect((await send('DELETE', `${core}/pods/a`, { preconditions: { resourceVersion: '1' } })).code).toBe(409)
    expect((await send('DELETE', `${core}/pods/a?dryRun=All`)).code).toBe(200)
    expect((await send('DELETE', `${core}/pods/a`, { preconditions: { uid: pod.metadata.uid } })).code).toBe(200)
    const gone = await send('DELETE', `${core}/pods/a`)
    expect(gone.json).toMatchObject({ message: 'pods "a" not found', details: { name: 'a', kind: 'pods' }, code: 404 })
  })

  it('waits for finalizers', async () => {
    await send('POST', leases, { metadata: { name: 'l', finalizers: ['example.com/wait'] }, spec: {} })
    const reply = await send('DELETE', `${leases}/l`)
    expect((reply.json.metadata as { deletionTimestamp: string }).deletionTimestamp).toBeDefined()
    await patch(`${leases}/l`, { metadata: { finalizers: null } }, 'merge-patch')
    expect(events('leases')).toEqual(['ADDED l', 'MODIFIED l', 'MODIFIED l', 'DELETED l'])
  })

  it('answers with a Status for kinds that are simply gone', async () => {
    const created = await send('POST', leases, { metadata: { name: 'l' }, spec: {} })
    const { uid } = created.json.metadata as { uid: string }
    const reply = await send('DELETE', `${leases}/l`)
    expect(reply.json).toEqual({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: 'l', group: 'coordination.k8s.io', kind: 'leases', uid },
    })
  })

  it('deletes collections by selector', async () => {
    await createPod('a')
    await send('POST', `${core}/pods`, podBody('b', { app: 'other' }))
    const reply = await send('DELETE', `${core}/pods?labelSelector=app%3Dweb`)
    expect(reply.json.items).toHaveLength(1)
    expect(sandbox.store.list('pods').map((pod) => pod.metadata.name)).toEqual(['b'])
  })

  it('empties a namespace before it goes, and lets nothing new in', async () => {
    await createPod('a')
    await bind('a')
    const reply = await send('DELETE', '/api/v1/namespaces/shop')
    expect(reply.json.status).toEqual({ phase: 'Terminating' })
    const refused = await send('POST', `${core}/pods`, podBody('b'))
    if (refused.code !== 404) {
      expect(refused.code).toBe(403)
      expect(refused.json.message).toBe(
        'pods "b" is forbidden: unable to create new content in namespace shop because it is being terminated',
      )
    }
    await expect.poll(() => sandbox.store.get('namespaces', '', 'shop')).toBeUndefined()
    expect(sandbox.store.list('pods', 'shop')).toEqual([])
  })

  it('evicts with a condition that says why', async () => {
    await createPod('a')
    await bind('a')
    const reply = await send('POST', `${core}/pods/a/eviction`, { metadata: { name: 'a' } })
    expect(reply.code).toBe(201)
    const pod = sandbox.store.get('pods', 'shop', 'a')
    expect(pod?.metadata.deletionTimestamp).toBeDefined()
    expect(pod?.status).toMatchObject({
      conditions: [{}, { type: 'DisruptionTarget', reason: 'EvictionByEvictionAPI' }],
    })
  })
})
