import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Serving, startServing } from '../serving.ts'

let serving: Serving
beforeAll(async () => {
  serving = await startServing()
})
afterAll(() => serving.stop())

async function check(body: object) {
  const headers = { 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: JSON.stringify(body) }
  const response = await fetch(`${serving.url}/v1/filters/check`, init)
  return { status: response.status, ...((await response.json()) as { detail?: string; field?: string }) }
}

async function readPage(query: string) {
  const response = await fetch(`${serving.url}/v1/events?${query}`, { headers: { accept: 'application/json' } })
  return (await response.json()) as { events: { id: string; cursor: string }[]; next: string }
}

test('explains an event by its id, and by the cursor that any filter gave it; before the first there is none', async () => {
  const { next } = await readPage('from=now')
  expect(await check({ filter: {}, event: next })).toMatchObject({ status: 404, field: 'event' })
  const writer = await serving.createWriter()
  await writer.append({ name: 'a' })
  const [plain] = (await readPage('')).events
  const [filtered] = (await readPage('name=a')).events
  expect(filtered?.cursor).not.toBe(plain?.cursor)
  for (const event of [plain?.id, plain?.cursor, filtered?.cursor]) {
    const answer = await check({ filter: { name: 'b' }, event })
    expect(answer).toMatchObject({
      event: { id: plain?.id, passes: false, clauses: [{ clause: 'name', passes: false }] },
    })
  }
})

test.each([
  [{ filter: {}, event: 'test/nothing/1' }, 404, 'Look further back with "minutes", or give its cursor'],
  [{ filter: {}, event: 'now' }, 400, 'neither the id of an event'],
  [{ filter: {}, event: 'nothing' }, 400, 'neither the id of an event'],
  [{ filter: {}, minutes: '5' }, 400, 'minutes: must be a whole number from 1 to 1440'],
  [{ filter: {}, minutes: 1441 }, 400, 'minutes: must be a whole number from 1 to 1440'],
  [{ filter: {}, minutes: 0.5 }, 400, 'minutes: must be a whole number from 1 to 1440'],
])('says what to change in %j', async (body, status, words) => {
  const answer = await check(body)
  expect(answer.status).toBe(status)
  expect(answer.detail).toContain(words)
})
