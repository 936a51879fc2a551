import { KubeConfig } from '@kubernetes/client-node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createKubernetesAuthenticator, type Reviewer } from '../../functions/auth/kubernetes.ts'
import { createKubeReviewer } from '../../infra/node/kube-reviewer.ts'
import { createSandbox, type Sandbox } from '../../infra/sandbox/sandbox.ts'
import { parseResources } from '../../shared/resource.ts'
import { type SampleWriter, type Serving, startServing, until } from './serving.ts'

const group = 'rbac.authorization.k8s.io'
const tokens = { ann: { username: 'ann', groups: ['ops'] }, bob: { username: 'bob' } }

let sandbox: Sandbox
let serving: Serving
let pods: SampleWriter
let bindings: SampleWriter

function bind(name: string, user: string, namespace: string): void {
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch'] }]
  const roleRef = { apiGroup: group, kind: 'Role', name: 'see-pods' }
  sandbox.store.put('roles', { metadata: { name: 'see-pods', namespace }, rules })
  sandbox.store.put('rolebindings', {
    metadata: { name, namespace },
    subjects: [{ kind: 'User', name: user }],
    roleRef,
  })
}

beforeAll(async () => {
  sandbox = await createSandbox({ tokens, world: false })
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'sandbox', server: sandbox.url, skipTLSVerify: true }, { name: 'relay' })
  serving = await startServing({ auth: { mode: 'kubernetes', reviewer: createKubeReviewer(config) } })
  pods = await serving.createWriter('pods')
  bindings = await serving.createWriter('leases')
  await pods.append({ namespace: 'shop', name: 'a' }, { namespace: 'bank', name: 'c' })
})
afterAll(async () => {
  await serving.stop()
  await sandbox.stop()
})

const get = (token: string, path: string, accept = 'application/json') =>
  fetch(`${serving.url}${path}`, { headers: { accept, authorization: `Bearer ${token}` } })

test('lets callers see what they may list and watch in the cluster', async () => {
  expect((await get('nobody', '/v1/events')).status).toBe(401)
  expect((await get('bob', '/v1/events?namespace=shop')).status).toBe(403)
  bind('of-ann', 'ann', 'shop')
  const page = (await (await get('ann', '/v1/events?namespace=shop')).json()) as { events: { subject: string }[] }
  expect(page.events.map(({ subject }) => subject)).toEqual(['shop/a'])
  expect((await get('ann', '/v1/events?namespace=shop,bank&resource=pods')).status).toBe(403)
  expect((await get('ann', '/v1/events')).status).toBe(403)
  expect((await get('ann', '/v1/pods/shop/a')).status).toBe(200)
  expect((await get('ann', '/v1/pods/bank/c')).status).toBe(404)
  expect((await get('ann', '/v1/leases?namespace=shop')).status).toBe(403)
})

let version = 8
/** Tells what the watcher of bindings tells. */
async function tellRemoval(namespace: string): Promise<void> {
  await bindings.operate([
    {
      op: 'event',
      json: JSON.stringify({
        specversion: '1.0',
        id: `test/u-binding/${++version}`,
        source: `/clusters/test/apis/${group}/v1/namespaces/${namespace}/rolebindings`,
        type: 'k8s.rolebinding.deleted',
        subject: `${namespace}/of-ann`,
        time: new Date().toISOString(),
        datacontenttype: 'application/json',
        data: { namespace, name: 'of-ann', changes: [] },
      }),
    },
  ])
}

test('asks the cluster about a login as about its token', async () => {
  bind('of-ann', 'ann', 'shop')
  const headers = { authorization: 'Bearer ann' }
  const login = await fetch(`${serving.url}/v1/login`, { method: 'POST', headers })
  expect(await login.json()).toMatchObject({ tenant: 'ann' })
  const [cookie = ''] = login.headers.get('set-cookie')?.split(';') ?? []
  const see = (path: string) => fetch(`${serving.url}${path}`, { headers: { accept: 'application/json', cookie } })
  expect((await see('/v1/events?namespace=shop')).status).toBe(200)
  expect((await see('/v1/events?namespace=bank')).status).toBe(403)
})

test('ends a stream when the binding behind it is removed', async () => {
  bind('of-ann', 'ann', 'vault')
  const response = await get('ann', '/v1/events?namespace=vault&resource=pods', 'text/event-stream')
  expect(response.status).toBe(200)
  const ended = response.text()
  await until(async () => (await serving.countStreams()) === 1)
  const begin = performance.now()
  sandbox.store.remove('rolebindings', 'vault', 'of-ann')
  await tellRemoval('vault')
  expect(await ended).toContain('event: ready')
  expect(performance.now() - begin).toBeLessThan(5_000)
  expect((await get('ann', '/v1/events?namespace=vault&resource=pods')).status).toBe(403)
})

test('turns a webhook off when the binding behind it is removed', async () => {
  bind('of-ann', 'ann', 'cellar')
  const filter = { resource: ['pods'], namespace: ['cellar'] }
  const headers = { authorization: 'Bearer ann', 'content-type': 'application/json' }
  const body = JSON.stringify({ url: 'http://127.0.0.1:9000/', filter })
  const made = await fetch(`${serving.url}/v1/webhooks`, { method: 'POST', headers, body })
  expect(made.status).toBe(201)
  const { id } = (await made.json()) as { id: string }
  const stream = await get('ann', '/v1/events?namespace=cellar&resource=pods', 'text/event-stream')
  sandbox.store.remove('rolebindings', 'cellar', 'of-ann')
  await tellRemoval('cellar')
  await until(async () => {
    const webhook = (await (await get('ann', `/v1/webhooks/${id}`)).json()) as { disabledReason?: string }
    return webhook.disabledReason === 'forbidden'
  })
  await stream.text()
})

test('asks the cluster once for the same question, and again after 30 s or when told to forget', async () => {
  let now = 0
  const asked: string[] = []
  const reviewer: Reviewer = {
    async identify(token) {
      asked.push(token)
      return { username: token }
    },
    async isAllowed(_, verb, __, resource, namespace) {
      asked.push(`${verb} ${resource} ${namespace}`)
      return namespace === ''
    },
  }
  const authenticator = createKubernetesAuthenticator(reviewer, parseResources('pods'), () => new Date(now))
  const wish = { resource: ['pods'], namespace: ['shop'] }
  const ask = async () => authenticator.grant(await authenticator.identify('ann'), wish)
  expect(await Promise.all([ask(), ask(), ask()])).toHaveLength(3)
  expect(asked).toEqual(['ann', 'list pods ', 'watch pods '])
  now += 29_000
  await ask()
  expect(asked).toHaveLength(3)
  now += 2_000
  await ask()
  expect(asked).toHaveLength(6)
  authenticator.forget()
  await ask()
  expect(asked).toHaveLength(9)
})
