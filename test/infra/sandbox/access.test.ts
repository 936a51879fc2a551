import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { ask, startStill } from './client.ts'

const tokens = { ann: { username: 'ann', groups: ['ops'] }, bob: { username: 'bob' } }

let sandbox: Sandbox
beforeEach(async () => {
  sandbox = await startStill({ tokens })
})
afterEach(() => sandbox.stop())

const as = (token: string, path: string, method = 'GET', body?: unknown) =>
  ask(sandbox.url + path, { method, body, headers: { authorization: `Bearer ${token}` } })

function grant(subject: object, rules: object[], namespace = 'shop'): void {
  sandbox.store.put('roles', { metadata: { name: 'r', namespace }, rules })
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' }
  sandbox.store.put('rolebindings', { metadata: { name: 'b', namespace }, subjects: [subject], roleRef })
}

describe('access', () => {
  it('lets whoever comes without credentials do everything', async () => {
    expect((await ask(`${sandbox.url}/api/v1/namespaces/kube-system`)).code).toBe(200)
  })

  it('refuses unknown tokens and other schemes', async () => {
    expect((await as('nope', '/api/v1/pods')).code).toBe(401)
    expect((await ask(`${sandbox.url}/version`, { headers: { authorization: 'Basic eDp5' } })).code).toBe(401)
  })

  it('lets every token discover, and nothing else by itself', async () => {
    expect((await as('bob', '/apis')).code).toBe(200)
    expect((await as('bob', '/api/v1')).code).toBe(200)
    const refused = await as('bob', '/metrics')
    expect([refused.code, refused.json.message]).toEqual([403, 'forbidden: User "bob" cannot get path "/metrics"'])
  })

  it('words a refusal by verb, resource, group and place', async () => {
    const messages = await Promise.all([
      as('bob', '/api/v1/namespaces/shop/pods/x'),
      as('bob', '/apis/coordination.k8s.io/v1/leases?watch=1'),
      as('bob', '/api/v1/namespaces/shop/pods/x/status', 'PATCH', {}),
      as('bob', '/api/v1/namespaces/shop/pods', 'DELETE'),
    ])
    expect(messages.map((reply) => reply.json.message)).toEqual([
      'pods "x" is forbidden: User "bob" cannot get resource "pods" in API group "" in the namespace "shop"',
      'leases.coordination.k8s.io is forbidden: User "bob" cannot watch resource "leases" in API group "coordination.k8s.io" at the cluster scope',
      'pods "x" is forbidden: User "bob" cannot patch resource "pods/status" in API group "" in the namespace "shop"',
      'pods is forbidden: User "bob" cannot deletecollection resource "pods" in API group "" in the namespace "shop"',
    ])
  })

  it('grants by role within a namespace, to users, groups and names', async () => {
    grant({ kind: 'Group', name: 'ops' }, [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }])
    expect((await as('ann', '/api/v1/namespaces/shop/pods')).code).toBe(200)
    expect((await as('ann', '/api/v1/namespaces/default/pods')).code).toBe(403)
    expect((await as('bob', '/api/v1/namespaces/shop/pods')).code).toBe(403)
    grant({ kind: 'User', name: 'bob' }, [{ apiGroups: ['*'], resources: ['*'], resourceNames: ['x'], verbs: ['get'] }])
    expect((await as('bob', '/api/v1/namespaces/shop/pods/x')).code).toBe(404)
    expect((await as('bob', '/api/v1/namespaces/shop/pods/y')).code).toBe(403)
    grant({ kind: 'User', name: 'bob' }, [{ apiGroups: [''], resources: ['pods/status'], verbs: ['*'] }])
    expect((await as('bob', '/api/v1/namespaces/shop/pods/x/status')).code).toBe(404)
    expect((await as('bob', '/api/v1/namespaces/shop/pods/x')).code).toBe(403)
  })

  it('makes tokens for service accounts, which die with them', async () => {
    const path = '/api/v1/namespaces/shop/serviceaccounts'
    await ask(`${sandbox.url}${path}`, { method: 'POST', body: { metadata: { name: 'relay' } } })
    const reply = await ask(`${sandbox.url}${path}/relay/token`, {
      method: 'POST',
      body: { spec: { expirationSeconds: 600 } },
    })
    expect(reply.code).toBe(201)
    const { token } = reply.json.status as { token: string }
    expect((await as(token, '/api/v1/namespaces/shop/pods')).code).toBe(403)
    grant({ kind: 'ServiceAccount', name: 'relay', namespace: 'shop' }, [
      { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
    ])
    expect((await as(token, '/api/v1/namespaces/shop/pods')).code).toBe(200)
    const who = await as(token, '/apis/authentication.k8s.io/v1/selfsubjectreviews', 'POST', {})
    expect(who.json.status).toMatchObject({ userInfo: { username: 'system:serviceaccount:shop:relay' } })
    sandbox.store.remove('serviceaccounts', 'shop', 'relay')
    expect((await as(token, '/api/v1/namespaces/shop/pods')).code).toBe(401)
    const short = await ask(`${sandbox.url}${path}/default/token`, {
      method: 'POST',
      body: { spec: { expirationSeconds: 5 } },
    })
    expect(short.code).toBe(422)
  })

  it('explains its decisions in reviews', async () => {
    const url = `${sandbox.url}/apis/authorization.k8s.io/v1/subjectaccessreviews`
    const review = async (spec: object) => (await ask(url, { method: 'POST', body: { spec } })).json.status
    const resourceAttributes = { namespace: 'shop', verb: 'list', resource: 'pods' }
    expect(await review({ user: 'bob', resourceAttributes })).toEqual({ allowed: false })
    grant({ kind: 'User', name: 'bob' }, [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }])
    expect(await review({ user: 'bob', resourceAttributes })).toEqual({
      allowed: true,
      reason: 'RBAC: allowed by RoleBinding "b/shop" of Role "r" to User "bob"',
    })
    const rules = await as('bob', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', 'POST', {
      spec: { namespace: 'shop' },
    })
    expect(JSON.stringify(rules.json.status)).toContain('"resources":["pods"]')
    const unknown = await as('ann', '/apis/authorization.k8s.io/v1/subjectaccessreviews', 'POST', { spec: {} })
    expect(unknown.code).toBe(403)
  })

  it('lets the administrator act as somebody else', async () => {
    const headers = { 'impersonate-user': 'bob' }
    const reply = await ask(`${sandbox.url}/api/v1/pods`, { headers })
    expect(reply.json.message).toContain('User "bob" cannot list')
  })

  it('binds to loopback and nothing else', async () => {
    await expect(startStill({ host: '0.0.0.0' })).rejects.toThrow(RangeError)
  })
})
