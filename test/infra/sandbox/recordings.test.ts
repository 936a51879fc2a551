import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KubeObject } from '../../../infra/sandbox/kube-object.ts'
import { printPod } from '../../../infra/sandbox/pod-printer.ts'
import type { Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { ask, podBody, recording, startStill, watch } from './client.ts'

const curl = { 'user-agent': 'curl/8' }
const tokens = { 'viewer-token': { username: 'viewer', uid: '2' }, 'nobody-token': { username: 'nobody' } }

function headersOf(name: string): { code: number; names: string[] } {
  const [first = '', ...rest] = recording(`${name}.headers`).trim().split('\n')
  const names = rest.map((line) => line.split(':')[0] ?? '').filter((header) => header !== '')
  return { code: Number(first.split(' ')[1]), names: names.sort() }
}

// A recording is HTTP/2, which frames bodies itself.
const framing = new Set(['transfer-encoding', 'connection', 'keep-alive'])

describe('the sandbox compared with recordings of a real API server', () => {
  let sandbox: Sandbox
  beforeAll(async () => {
    sandbox = await startStill({ tokens })
  })
  afterAll(() => sandbox.stop())

  async function compare(name: string, path: string, headers: Record<string, string> = {}) {
    const reply = await ask(sandbox.url + path, { headers: { ...curl, ...headers } })
    const expected = headersOf(name)
    expect(reply.code).toBe(expected.code)
    const names = Object.keys(reply.headers).filter((header) => !framing.has(header))
    expect(names.sort()).toEqual(expected.names)
    return reply
  }

  it.each([
    ['version', '/version', {}],
    ['watch-401-bad-token', '/api/v1/pods?watch=1', { authorization: 'Bearer wrong' }],
    ['watch-403-forbidden', '/api/v1/pods?watch=1', { authorization: 'Bearer nobody-token' }],
    ['watch-404-unknown-resource', '/api/v1/widgets?watch=1', {}],
    ['watch-422-sendInitialEvents-without-match', '/api/v1/pods?watch=1&sendInitialEvents=true', {}],
    ['list-400-bad-field-selector', '/api/v1/pods?fieldSelector=spec.nope%3D1', {}],
  ])('answers %s byte for byte', async (name, path, headers) => {
    const reply = await compare(name, path, headers as Record<string, string>)
    expect(reply.text).toBe(recording(`${name}.body`))
    const type = recording(`${name}.headers`).match(/content-type: (.*)/)?.[1]
    expect(reply.headers['content-type']).toBe(type?.trim())
  })

  it('refuses a resourceVersion from the future as recorded, but for the current one', async () => {
    const reply = await compare('list-504-too-large-resource-version', '/api/v1/pods?resourceVersion=999999999')
    const current = sandbox.store.resourceVersion
    expect(reply.text).toBe(recording('list-504-too-large-resource-version.body').replace('1626', String(current)))
    expect(reply.headers['retry-after']).toBe('1')
  })

  it('says Expired inside a 200 stream, compact even for curl', async () => {
    const stream = await watch(`${sandbox.url}/api/v1/pods?watch=1&resourceVersion=2`, curl)
    const lines = await stream.rest()
    const oldest = sandbox.store.oldest('pods')
    expect(stream.code).toBe(200)
    expect(`${lines.join('\n')}\n`).toBe(recording('watch-410-expired.body').replace('200 (1673)', `2 (${oldest})`))
    const names = Object.keys(stream.headers).filter((header) => !framing.has(header))
    expect(names.sort()).toEqual(headersOf('watch-410-expired').names)
  })

  it.each([
    ['pods-lifecycle', '/api/v1/pods'],
    ['leases-lifecycle', '/apis/coordination.k8s.io/v1/leases'],
    ['rolebindings-lifecycle', '/apis/rbac.authorization.k8s.io/v1/rolebindings'],
  ])('marks the end of the initial events of %s byte for byte', async (name, path) => {
    const recorded =
      recording(`${name}.body`)
        .split('\n')
        .find((line) => line.includes('initial-events-end')) ?? ''
    const query =
      '?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1'
    const stream = await watch(sandbox.url + path + query, curl)
    const lines = await stream.rest()
    const own = lines.find((line) => line.includes('initial-events-end'))
    expect(own).toBe(
      recorded.replace(/"resourceVersion":"\d+"/, `"resourceVersion":"${sandbox.store.resourceVersion}"`),
    )
  })

  it.each(['pods-lifecycle', 'leases-lifecycle', 'rolebindings-lifecycle'])(
    'writes the fields of the objects in %s in the order of the wire',
    (name) => {
      const seen = new Set<string>()
      for (const line of recording(`${name}.body`).split('\n')) {
        if (line === '' || line.includes('BOOKMARK')) continue
        const { object } = JSON.parse(line) as { object: KubeObject }
        const plural = `${object.kind.toLowerCase()}s`
        // Shuffled, so that the order cannot be the one that came in.
        const shuffled = Object.fromEntries(Object.entries(object).reverse()) as KubeObject
        shuffled.metadata = Object.fromEntries(Object.entries(object.metadata).reverse())
        const stored = sandbox.store.put(plural, shuffled)
        stored.metadata.resourceVersion = object.metadata.resourceVersion ?? ''
        expect(JSON.stringify(stored)).toBe(JSON.stringify(object))
        seen.add(object.metadata.uid ?? '')
      }
      expect(seen.size).toBeGreaterThan(5)
      for (const plural of ['pods', 'leases', 'rolebindings']) {
        for (const { metadata } of sandbox.store.list(plural)) {
          sandbox.store.remove(plural, metadata.namespace ?? '', metadata.name ?? '')
        }
      }
    },
  )

  it('prints pods as kubectl printed them', () => {
    const printed = recording('kubectl-get-pods.txt').trim().split('\n').slice(1)
    const words = new Map(printed.map((line) => [line.split(/\s+/)[0], line.split(/ {2,}/).slice(1, 4)]))
    const { items } = JSON.parse(recording('kubectl-get-pods.json')) as { items: KubeObject[] }
    expect(items.length).toBeGreaterThan(10)
    for (const pod of items) {
      const { ready, status, restarts } = printPod(pod, Date.parse('2026-11-20T23:40:27Z'))
      const [wantReady, wantStatus, wantRestarts = ''] = words.get(pod.metadata.name ?? '') ?? []
      expect([pod.metadata.name, ready, status]).toEqual([pod.metadata.name, wantReady, wantStatus])
      expect(restarts.split(' ')[0]).toBe(wantRestarts.split(' ')[0])
    }
  })

  it('describes the columns of a pod table as recorded', async () => {
    for (const name of ['a', 'b'])
      sandbox.store.put('pods', { ...podBody(name), metadata: { name, namespace: 'shop' } })
    const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' }
    const reply = await compare('pods-table', '/api/v1/pods', accept)
    const expected = JSON.parse(recording('pods-table.body')) as Record<string, unknown>
    expect(reply.json.columnDefinitions).toEqual(expected.columnDefinitions)
    expect(Object.keys(reply.json)).toEqual(Object.keys(expected))
    for (const name of ['a', 'b']) sandbox.store.remove('pods', 'shop', name)
  })

  it('answers the reviews as recorded', async () => {
    sandbox.store.put('rolebindings', {
      metadata: { namespace: 'shop', name: 'readers' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'nobody' }],
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    })
    const authorization = '/apis/authorization.k8s.io/v1'
    for (const [name, path] of [
      ['selfsubjectaccessreview', `${authorization}/selfsubjectaccessreviews`],
      ['subjectaccessreview-denied', `${authorization}/subjectaccessreviews`],
      ['tokenreview', '/apis/authentication.k8s.io/v1/tokenreviews'],
    ] as const) {
      const recorded = recording(`${name}.body`)
      const { kind, apiVersion, spec } = JSON.parse(recorded) as Record<string, unknown>
      const reply = await ask(sandbox.url + path, { method: 'POST', body: { kind, apiVersion, spec }, headers: curl })
      const withoutTime = (text: string) => text.replace(/"time": ".*"/, '')
      expect(reply.code).toBe(201)
      expect(withoutTime(reply.text)).toBe(withoutTime(recorded))
    }
    sandbox.store.remove('rolebindings', 'shop', 'readers')
  })

  it('shows a dry-run PUT with two owners and stores nothing', async () => {
    const recorded = recording('rolebinding-put-dryrun.body')
    const object = JSON.parse(recorded) as KubeObject
    const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings'
    const { kind, apiVersion, roleRef } = object
    const body = {
      kind,
      apiVersion,
      metadata: { name: 'readers' },
      subjects: [{ kind: 'User', name: 'nobody' }],
      roleRef,
    }
    await ask(`${sandbox.url}${path}?fieldManager=kubectl-create`, { method: 'POST', body })
    const before = sandbox.store.resourceVersion
    const next = { ...body, subjects: [{ kind: 'User', name: 'dry' }] }
    const reply = await ask(`${sandbox.url}${path}/readers?dryRun=All&fieldManager=relay`, {
      method: 'PUT',
      body: next,
      headers: curl,
    })
    const shape = (text: string) => text.replace(/"(uid|resourceVersion|creationTimestamp|time)": ".*"/g, '"$1": ""')
    expect(shape(reply.text)).toBe(shape(recorded))
    expect(sandbox.store.resourceVersion).toBe(before)
    const refused = await ask(`${sandbox.url}${path}/readers`, {
      method: 'PUT',
      body: { ...body, roleRef: { ...(roleRef as object), name: 'edit' } },
    })
    expect(refused.code).toBe(422)
    // kubectl drops the kind and prefixes its own words.
    const said = recording('rolebinding-change-roleref.txt')
      .trim()
      .replace('The RoleBinding "viewers" is invalid: ', '')
    expect(refused.json.message).toBe(`RoleBinding.rbac.authorization.k8s.io "readers" is invalid: ${said}`)
    sandbox.store.remove('rolebindings', 'shop', 'readers')
  })

  it('pages leases with tokens of the recorded form', async () => {
    const pages = ['leases-list-page1', 'leases-list-page2', 'leases-list-page3']
    const items = pages.flatMap((page) => (JSON.parse(recording(`${page}.body`)) as { items: KubeObject[] }).items)
    for (const item of items) sandbox.store.put('leases', item)
    let token = ''
    for (const page of pages) {
      const reply = await compare(page, `/apis/coordination.k8s.io/v1/leases?limit=3&continue=${token}`)
      const expected = JSON.parse(recording(`${page}.body`)) as { metadata: Record<string, string>; items: unknown[] }
      const metadata = reply.json.metadata as Record<string, string>
      const decode = (given: string | undefined) =>
        JSON.parse(Buffer.from(given ?? 'e30', 'base64url').toString()) as { start?: string }
      expect(Object.keys(metadata)).toEqual(Object.keys(expected.metadata))
      expect(metadata.remainingItemCount).toBe(expected.metadata.remainingItemCount)
      expect(decode(metadata.continue).start).toBe(decode(expected.metadata.continue).start)
      expect(JSON.stringify(reply.json.items).replace(/"resourceVersion":"\d+"/g, '')).toBe(
        JSON.stringify(expected.items).replace(/"resourceVersion":"\d+"/g, ''),
      )
      token = metadata.continue ?? ''
    }
  })

  it('owns the fields of a created pod as the recorded server did', async () => {
    const lines = recording('pods-lifecycle.body')
      .split('\n')
      .filter((line) => line !== '')
    const first = lines.map((line) => JSON.parse(line) as { type: string; object: KubeObject })
    const crashy = first.find((event) => event.type === 'ADDED' && event.object.metadata.name === 'crashy')?.object
    const applied = crashy?.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '{}'
    const body = JSON.parse(applied) as KubeObject
    body.metadata.annotations = { 'kubectl.kubernetes.io/last-applied-configuration': applied }
    const url = `${sandbox.url}/api/v1/namespaces/shop/pods`
    const reply = await ask(`${url}?fieldManager=kubectl-client-side-apply`, { method: 'POST', body })
    const shape = (object: unknown) =>
      JSON.stringify(object).replace(/"(uid|resourceVersion|creationTimestamp|time)":"[^"]*"/g, '"$1":""')
    expect(shape(reply.json)).toBe(shape(crashy))
    // The next three recorded states are what three status patches by kubectl made of it.
    const states = first.filter((event) => event.type === 'MODIFIED' && event.object.metadata.name === 'crashy')
    for (const { object } of states.slice(0, 3)) {
      await ask(`${url}/crashy/status?fieldManager=kubectl-patch`, {
        method: 'PATCH',
        body: { status: object.status },
        headers: { 'content-type': 'application/merge-patch+json' },
      })
      expect(shape(sandbox.store.get('pods', 'shop', 'crashy'))).toBe(shape(object))
    }
  })
})
