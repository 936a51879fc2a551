import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestRedis, type TestRedis } from '../support/redis.ts'
import { createStage, type Stage } from '../workers/deliverer/stage.ts'
import { type Call, createWebhookApp, createWebhookClient } from './webhook-client.ts'

let server: TestRedis
let stage: Stage
let call: Call
let id: string

beforeAll(async () => {
  server = await startTestRedis()
  stage = await createStage(server.url)
  call = createWebhookClient(stage)
  id = String((await call('POST', '', { url })).body.id)
})
afterAll(async () => {
  await stage.close()
  await server.stop()
})

const url = 'http://127.0.0.1:8081/'
const future = '2999-01-01T00:00:00Z'

it.each<[string, string, string, string, string]>([
  ['POST', '', '{}', 'url', 'is missing'],
  ['POST', '', `{"url":"${url}","more":1}`, 'more', 'not known here; see /openapi.json'],
  ['POST', '', `{"url":"${url}","filter":[]}`, 'filter', 'must be an object, such as {"phase": ["Failed"]}'],
  ['POST', '', `{"url":"${url}","filter":{"__proto__":["x"]}}`, 'filter.__proto__', 'no such filter; there are'],
  ['POST', '', `{"url":"${url}","filter":{"constructor":["x"]}}`, 'filter.constructor', 'no such filter; there are'],
  ['POST', '', `{"url":"${url}","headers":{"Host":"x"}}`, 'headers.Host', 'a name in lower case, such as x-team'],
  ['POST', '', `{"url":"${url}","headers":{"host":"x"}}`, 'headers.host', 'a header that is not for you to set'],
  ['POST', '', `{"url":"${url}","from":"${future}"}`, 'from', 'is in the future; write now'],
  [
    'POST',
    '',
    `{"url":"${url}","batchSeconds":2}`,
    'batchSeconds',
    'only with "content": "batch" and "ordering": "none"',
  ],
  ['POST', '', `{"url":"${url}","content":"batch","batchSeconds":61}`, 'batchSeconds', 'Too big'],
  ['PATCH', '/ID', '{"batchSeconds":2}', 'batchSeconds', 'only with "content": "batch" and "ordering": "none"'],
  ['PATCH', '/ID', '{"filter":null}', 'filter', 'must be an object, such as {"phase": ["Failed"]}'],
  ['PATCH', '/ID', '{"filter":{"__proto__":["x"]}}', 'filter.__proto__', 'no such filter; there are'],
  ['POST', '/ID/replay', '{}', 'from', 'is missing'],
  ['POST', '/ID/replay', `{"from":"${future}"}`, 'from', 'is in the future; write now'],
  ['POST', '/ID/recover', '', 'since', 'must be a time such as 2026-01-31T12:00:00Z'],
  ['POST', '/ID/recover?since=today', '', 'since', 'must be a time such as 2026-01-31T12:00:00Z'],
  ['GET', '/ID/explain', '', 'event', 'is missing'],
  ['GET', '/ID/explain?event=zz', '', 'event', 'neither the id nor the cursor of an event, nor the id of a delivery'],
])('%s %s %s is refused for %s, which %s', async (method, path, text, field, problem) => {
  const response = await createWebhookApp(stage).request(`/v1/webhooks${path.replace('ID', id)}`, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(text === '' ? {} : { body: text }),
  })
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  expect(await response.json()).toMatchObject({
    status: 400,
    field,
    detail: expect.stringContaining(`${field}: ${problem}`),
  })
  expect((await call('GET', '')).body.items).toHaveLength(1)
})

it('takes a filter of any characters', async () => {
  const filter = { where: 'data.name == "日本 😀"' }
  const { status, body } = await call('PATCH', `/${id}`, { filter, description: '日本 😀' })
  expect([status, body.filter, body.description]).toEqual([200, filter, '日本 😀'])
})

it('ends all keys at once when asked to, however many there are', async () => {
  const { body: created } = await call('POST', '', { url })
  const rotate = (overlap: number) => call('POST', `/${created.id}/rotate-secret`, { overlap })
  for (let n = 0; n < 9; n++) expect((await rotate(60)).status).toBe(200)
  const refused = await rotate(60)
  expect([refused.status, refused.body.detail]).toEqual([
    409,
    'There are 10 keys that still sign; wait until some have ended, or end them all with "overlap": 0.',
  ])
  expect((await rotate(0)).status).toBe(200)
  expect((await stage.store.get(String(created.id)))?.secrets).toHaveLength(1)
})

it('keeps for how long a batch may wait, until it is taken away', async () => {
  const { body: created } = await call('POST', '', { url, content: 'batch', batchSeconds: 2 })
  const change = (body: object) => call('PATCH', `/${created.id}`, body)
  expect(created.batchSeconds).toBe(2)
  expect((await change({ batchSeconds: 5 })).body.batchSeconds).toBe(5)
  expect(await change({ content: 'structured' })).toMatchObject({ status: 400, body: { field: 'batchSeconds' } })
  expect((await change({ content: 'structured', batchSeconds: null })).body.batchSeconds).toBeUndefined()
})
