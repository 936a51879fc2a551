import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Serving, startServing } from '../serving.ts'

let serving: Serving
beforeAll(async () => {
  serving = await startServing()
})
afterAll(() => serving.stop())

const ask = (query: string, headers: Record<string, string> = {}) =>
  fetch(`${serving.url}/v1/events?${query}`, { headers: { accept: 'application/json', ...headers } })

test.each([
  ['from=', 'from', 'must not be empty'],
  ['from=now&from=start', 'from', 'must be given once'],
  [`from=${'x'.repeat(129)}`, 'from', 'at most 128 characters'],
  ['wait=', 'wait', 'must be a whole number from 0 to 60'],
  ['wait=0x1', 'wait', 'must be a whole number from 0 to 60'],
  ['limit=1e1', 'limit', 'must be a whole number from 1 to 1000'],
  ['limit=1&limit=2', 'limit', 'given once'],
  ['labelSelector=a&labelSelector=b', 'labelSelector', 'must be given once'],
  ['phase.too=Failed', 'phase.too', 'Did you mean phase.to?'],
  ['name[]=web', 'name[]', 'Did you mean name?'],
  ['access_token=secret', 'access_token', 'a credential goes into the header Authorization'],
  ['lastEventId=x', 'lastEventId', 'or the header Last-Event-ID'],
  ['type=ADDED', 'type', 'k8s.pod.added'],
  ['where=data.name+%3D%3D+"😀"+and+true', 'where', 'write &&, || and !'],
])('says of %s what to change', async (query, field, words) => {
  const answer = await ask(query)
  expect(answer.status).toBe(400)
  const problem = (await answer.json()) as { field: string; detail: string }
  expect(problem.field).toBe(field)
  expect(problem.detail).toContain(words)
  expect(problem.detail).not.toContain('secret')
})

test('links to the next page under whatever path a proxy serves it', async () => {
  const writer = await serving.createWriter()
  await writer.append({ name: 'a' }, { name: 'b' })
  const first = await ask('name=a,b&limit=1&labelSelector=%21x')
  const reference = /^<(.*)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
  const next = new URL(reference, 'https://proxy.example.com/relay/v1/events?limit=1')
  expect(next.origin + next.pathname).toBe('https://proxy.example.com/relay/v1/events')
  const page = (await (await ask(next.searchParams.toString())).json()) as { events: { data: { name: string } }[] }
  expect(page.events.map(({ data }) => data.name)).toEqual(['b'])
})
