import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type App, createApp } from '../../functions/app.ts'
import { createKubernetesAuthenticator, type Reviewer } from '../../functions/auth/kubernetes.ts'
import { maySeeAll, toOwner } from '../../functions/auth/webhook-rights.ts'
import { type ApiKeyStore, createApiKeyStore } from '../../shared/api-key.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { parseResources } from '../../shared/resource.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { type Receiver, startReceiver } from '../workers/deliverer/receiver.ts'
import { createStage, encryptionKey, type Stage } from '../workers/deliverer/stage.ts'
import { until } from './serving.ts'
import { silent } from './webhook-client.ts'

let redis: TestRedis
let stage: Stage
let app: App
let store: ApiKeyStore
let receivers: Record<'shop' | 'told' | 'other', Receiver>

beforeAll(async () => {
  redis = await startTestRedis()
})
afterAll(() => redis.stop())
beforeEach(async () => {
  stage = await createStage(redis.url)
  store = createApiKeyStore(stage.redis, stage.keys)
  const [shop, told, other] = await Promise.all([startReceiver(), startReceiver(), startReceiver()])
  receivers = { shop, told, other }
  app = createApp({
    cluster: stage.cluster,
    redis: stage.redis,
    connect: () => ({ redis: stage.redis, close: () => undefined }),
    log: silent,
    resources: parseResources('pods'),
    auth: { mode: 'keys' },
    webhooks: { encryptionKey, policy: createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true }) },
  })
})
afterEach(async () => {
  await stage.close()
  for (const receiver of Object.values(receivers)) await receiver.close()
})

const createKey = (tenant: string, ...namespaces: string[]) =>
  store.create({
    tenant,
    grants: [{ namespaces, resources: ['pods'] }],
    actions: ['read', 'webhooks'],
    createdAt: new Date().toISOString(),
  })

async function ask(key: string, method: string, path = '', body?: object) {
  const response = await app.hono.request(`/v1/webhooks${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // biome-ignore lint/suspicious/noExplicitAny: answers of several routes.
  return { status: response.status, body: (await response.json()) as any }
}

let version = 0
const podEvent = (namespace: string): RelayEvent => ({
  specversion: '1.0',
  id: `${stage.cluster}/u/${++version}`,
  source: `/clusters/${stage.cluster}/api/v1/namespaces/${namespace}/pods`,
  type: 'k8s.pod.modified',
  subject: `${namespace}/web`,
  time: new Date().toISOString(),
  datacontenttype: 'application/json',
  data: { namespace, name: 'web', uid: 'u', labels: {}, changes: [] },
})
const received = (name: keyof typeof receivers) => receivers[name].received.map(({ body }) => JSON.parse(body))

test('stops deliveries when their owner loses the right to see the events, says so, and lets an authorised owner go on', async () => {
  const shop = await createKey('ann', 'shop')
  const team = await createKey('ann', 'team')
  const other = await createKey('bob', '*')
  const filter = { resource: ['pods'], namespace: ['shop'] }
  const asks = { type: ['relay.endpoint.disabled'], resource: ['pods'], namespace: ['team'] }
  const { id } = (await ask(shop.key, 'POST', '', { url: receivers.shop.url, filter })).body
  await ask(team.key, 'POST', '', { url: receivers.told.url, filter: asks })
  await ask(other.key, 'POST', '', { url: receivers.other.url, filter: { ...asks, namespace: ['*'] } })
  stage.dispatcher()
  stage.deliverer()
  await stage.append(podEvent('shop'))
  await until(() => received('shop').length === 1)

  const renewed = await createKey('ann', 'shop')
  await store.revoke(shop.record.id)
  await app.reviewOwners()
  expect((await ask(renewed.key, 'GET', `/${id}`)).body).toMatchObject({ enabled: true })

  await store.revoke(renewed.record.id)
  await app.reviewOwners()
  const shown = (await ask(team.key, 'GET', `/${id}`)).body
  expect(shown).toMatchObject({ enabled: false, disabledReason: 'forbidden', disabledAt: expect.any(String) })
  expect(shown).not.toHaveProperty('owner')
  await until(() => received('told').length === 1)
  expect(received('told')[0]).toMatchObject({
    type: 'relay.endpoint.disabled',
    data: { webhook: id, reason: 'forbidden' },
  })
  await stage.append(podEvent('shop'))

  for (const path of ['/enable', '/test', '/replay']) {
    expect((await ask(team.key, 'POST', `/${id}${path}`)).status, path).toBe(403)
  }
  expect((await ask(team.key, 'PATCH', `/${id}`, { enabled: true })).status).toBe(403)
  // A filter that they may have is of no use where no filter is taken.
  const allowed = { filter: { ...filter, namespace: ['team'] } }
  const since = new Date(0).toISOString()
  for (const path of ['/enable', '/test', '/rotate-secret', `/recover?since=${since}`]) {
    expect((await ask(team.key, 'POST', `/${id}${path}`, allowed)).status, path).toBe(403)
  }
  expect((await ask(team.key, 'POST', `/${id}/disable`)).status).toBe(200)
  const changed = { filter: { ...filter, namespace: ['team'] }, enabled: true }
  expect((await ask(team.key, 'PATCH', `/${id}`, changed)).body).toMatchObject({ enabled: true })
  await app.reviewOwners()
  await stage.append(podEvent('team'))
  await until(() => received('shop').length === 2)
  expect(received('shop').map(({ data }) => data.namespace)).toEqual(['shop', 'team'])
  expect(received('other')).toEqual([])
})

test('leaves webhooks alone that were registered when nobody was asked, and those whose rights cannot be asked', async () => {
  const free = await stage.register(receivers.shop.url)
  await app.reviewOwners()
  expect((await stage.store.get(free.id))?.enabled).toBe(true)
  const owned = await stage.register(receivers.shop.url, { owner: { tenant: 'nobody' } })
  await stage.redis.set(stage.keys.own('api-keys'), 'no hash')
  await app.reviewOwners()
  expect((await stage.store.get(owned.id))?.enabled).toBe(true)
  await stage.redis.del(stage.keys.own('api-keys'))
  await app.reviewOwners()
  expect(await stage.store.get(owned.id)).toMatchObject({ enabled: false, disabledReason: 'forbidden' })
})

test('keeps of a cluster user what the cluster can be asked about, and not the token', async () => {
  const allowed = new Set(['shop'])
  const reviewer: Reviewer = {
    identify: async () => ({ username: 'ann', groups: ['ops'] }),
    isAllowed: async ({ groups = [] }, _, __, ___, namespace) => groups.includes('ops') && allowed.has(namespace),
  }
  let now = 0
  const authenticator = createKubernetesAuthenticator(reviewer, parseResources('pods'), () => new Date(now))
  const owner = toOwner(authenticator, await authenticator.identify('a secret token'))
  expect(JSON.stringify(owner)).not.toContain('secret')
  const filter = { resource: ['pods'], namespace: ['shop'] }
  const mayKeep = async () => {
    const caller = await authenticator.recall(JSON.parse(JSON.stringify(owner)))
    return caller !== undefined && maySeeAll(authenticator, caller, filter)
  }
  expect(await mayKeep()).toBe(true)
  allowed.delete('shop')
  now += 60_000
  expect(await mayKeep()).toBe(false)
  expect(await authenticator.recall({ tenant: 'ann', proof: 'an API key of before' })).toBeUndefined()
})
