import { expect, it } from 'vitest'
import { createApp } from '../../functions/app.ts'
import { createApiKeyStore } from '../../shared/api-key.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { parseResources } from '../../shared/resource.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { encryptionKey, podEvent, type Stage, until } from '../workers/deliverer/stage.ts'
import { stageEach } from '../workers/deliverer/staged.ts'
import { silent } from './webhook-client.ts'

let stage: Stage
let ask: (key: string, method: string, path: string, body?: object) => Promise<{ status: number; body: Body }>
type Body = { id: string; filter: object; history: { matched: number }; verdict: string; [field: string]: unknown }

stageEach((fresh) => {
  stage = fresh
  const { hono } = createApp({
    cluster: stage.cluster,
    redis: stage.redis,
    connect: () => ({ redis: stage.redis, close: () => undefined }),
    log: silent,
    resources: parseResources('pods'),
    auth: { mode: 'keys' },
    webhooks: { encryptionKey, policy: createAddressPolicy({ allowCidrs: [], allowHttp: false }) },
  })
  ask = async (key, method, path, body) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
    const response = await hono.request(`/v1/webhooks${path}`, init)
    return { status: response.status, body: (await response.json()) as Body }
  }
})

const createKey = async (tenant: string, namespace: string) => {
  const { key } = await createApiKeyStore(stage.redis, stage.keys).create({
    tenant,
    grants: [{ namespaces: [namespace], resources: ['pods'] }],
    actions: ['read', 'webhooks'],
    createdAt: new Date().toISOString(),
  })
  return key
}

/** The same in another namespace. */
const inBank = (event: RelayEvent): RelayEvent => ({
  ...event,
  source: event.source.replace('/shop/', '/bank/'),
  subject: event.subject.replace('shop/', 'bank/'),
  data: { ...event.data, namespace: 'bank' },
})

it('tells state, rehearsal and reasons of what the owner may see, and nothing else', async () => {
  const [shop, bank] = [await createKey('shop', 'shop'), await createKey('bank', 'bank')]
  const [mine, theirs] = [podEvent('web'), inBank(podEvent('vault'))]
  await stage.change(mine, theirs)
  const url = 'https://example.com/'
  const filter = { resource: ['pods'], namespace: ['shop'] }
  for (const path of ['', '?dryRun=true']) {
    for (const wide of [{}, { resource: ['pods'] }, { resource: ['pods'], namespace: ['shop', 'bank'] }]) {
      expect((await ask(shop, 'POST', path, { url, filter: wide, from: 'state' })).status).toBe(403)
    }
  }
  const rehearsed = await ask(shop, 'POST', '?dryRun=true', { url, filter })
  expect(rehearsed).toMatchObject({ status: 200, body: { history: { looked: 1, matched: 1 } } })
  const { body: created } = await ask(shop, 'POST', '', { url, filter, from: 'state' })
  stage.dispatcher()
  const listed = await until(async () => {
    const items = await stage.ledger.list(created.id, { limit: 10 })
    return items.length > 0 && items
  })
  expect(listed.map(({ event }) => event)).toEqual([`${stage.cluster}/web-uid/${mine.data.resourceVersion}-state`])
  const explain = (key: string, event: string) =>
    ask(key, 'GET', `/${created.id}/explain?event=${encodeURIComponent(event)}`)
  expect(await explain(shop, mine.id)).toMatchObject({ status: 200, body: { verdict: 'before-start' } })
  expect(await explain(shop, theirs.id)).toMatchObject({ status: 404, body: { field: 'event' } })
  expect((await explain(bank, theirs.id)).status).toBe(404)
  const { body: task } = await ask(shop, 'POST', `/${created.id}/replay`, { from: 'start' })
  expect((await ask(bank, 'POST', `/${created.id}/tasks/${task.id}/cancel`)).status).toBe(404)
})
