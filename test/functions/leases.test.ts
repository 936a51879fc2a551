import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EndedTerm, OpenTerm } from '../../shared/lease.ts'
import { type SampleWriter, type Serving, startServing } from './serving.ts'

let serving: Serving
let leases: SampleWriter
const start = Date.parse('2026-01-01T00:00:00Z')
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString()
const keep = { count: 500, ms: 10_000 * 86_400_000 }
const now = at(10_000)

beforeAll(async () => {
  serving = await startServing({ now: () => new Date(now) })
  leases = await serving.createWriter('leases')
})

afterAll(() => serving.stop())

async function get(path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${serving.url}${path}`, { headers })
  const text = await answer.text()
  return { status: answer.status, headers: answer.headers, body: text === '' ? undefined : JSON.parse(text) }
}

/** Writes what a watcher writes when a term ends. */
async function end(name: string, term: Omit<EndedTerm, 'namespace' | 'name' | 'renewals'>): Promise<void> {
  const whole = { namespace: 'shop', name, renewals: 1, ...term }
  await leases.append({ name, holder: null, expired: false })
  await leases.operate([{ op: 'term', key: `shop/${name}`, holder: term.holder, term: JSON.stringify(whole), keep }])
}

async function hold(name: string, term: OpenTerm, more: object = {}): Promise<void> {
  const { holder, from } = term
  await leases.append({ name, holder, durationSeconds: 15, renewed: from, expired: false, term, ...more })
  await leases.operate([{ op: 'hold', key: `shop/${name}`, holder }])
}

describe('the timeline of a lease', () => {
  const holders = async (query = '') => (await get(`/v1/leases/shop/leader/holders${query}`)).body
  const names = (page: { items: { holder: string }[] }) => page.items.map(({ holder }) => holder)

  beforeAll(async () => {
    await end('leader', { holder: 'one', from: at(0), to: at(100), began: 'acquired', ended: 'released' })
    await end('leader', {
      holder: 'two',
      from: at(110),
      to: at(140),
      began: 'acquired',
      ended: 'expired',
      leaderlessSeconds: 10,
    })
    await end('leader', {
      holder: 'one',
      from: at(200),
      to: at(800),
      began: 'transferred',
      ended: 'transferred',
      leaderlessSeconds: 60,
    })
    await hold('leader', { holder: 'three', from: at(800), began: 'transferred', renewals: 0 })
  })

  it('is read newest first and summed up', async () => {
    const page = await holders()
    expect(names(page)).toEqual(['three', 'one', 'two', 'one'])
    expect(page).not.toHaveProperty('next')
    expect(page.summary).toEqual({
      terms: 4,
      holders: 3,
      flaps: 1,
      leaderlessSeconds: 70,
      longestTerm: { holder: 'three', from: at(800), seconds: 9_200 },
    })
  })

  it('is read in pages, of which none repeats or leaves out a term though others end meanwhile', async () => {
    const seen: string[] = []
    let next: string | undefined
    for (let n = 0; n < 10; n++) {
      const page = await holders(`?limit=1${next === undefined ? '' : `&continue=${next}`}`)
      seen.push(...names(page))
      expect(page.summary.terms).toBe(4)
      if (n === 0)
        await end('leader', { holder: 'three', from: at(800), to: at(900), began: 'transferred', ended: 'released' })
      next = page.next
      if (next === undefined) break
    }
    // The present term of the first page has ended by the second, and is not told again.
    expect(seen).toEqual(['three', 'one', 'two', 'one'])
  })

  it('is cut to a span of time, leaderless time included', async () => {
    const page = await holders(`?since=${at(105)}&until=${at(190)}`)
    expect(names(page)).toEqual(['two'])
    expect(page.summary).toMatchObject({ terms: 1, leaderlessSeconds: 5, flaps: 1 })
  })

  it('takes the plus sign of a time zone as it comes, and refuses a span that ends before it begins', async () => {
    const shifted = `${at(150).slice(0, 11)}01:02:30+01:00`
    expect(names(await holders(`?until=${shifted}`))).toEqual(['two', 'one'])
    expect(await get(`/v1/leases/shop/leader/holders?since=${at(2)}&until=${at(1)}`)).toMatchObject({
      status: 400,
      body: { field: 'until' },
    })
    expect(await get('/v1/holders/one?since=yesterday')).toMatchObject({
      status: 400,
      body: { detail: 'since: must be a time, such as 2026-01-31T12:00:00Z' },
    })
  })

  it('refuses what makes no sense, naming it', async () => {
    expect(await get('/v1/leases/shop/leader/holders?continue=x')).toMatchObject({
      status: 400,
      body: { field: 'continue' },
    })
    expect(await get('/v1/leases/shop/leader/holders?since=yesterday')).toMatchObject({
      status: 400,
      body: { field: 'since' },
    })
    expect(await get('/v1/leases/shop/none/holders')).toMatchObject({ status: 404 })
  })
})

describe('an identity', () => {
  it('tells what it holds and held, across leases', async () => {
    await hold('lock-a', { holder: 'me', from: at(0), began: 'acquired', renewals: 0 })
    await hold('lock-b', { holder: 'me', from: at(5), began: 'acquired', renewals: 0 })
    await end('lock-c', { holder: 'me', from: at(1), to: at(2), began: 'acquired', ended: 'released' })
    await end('lock-d', { holder: 'me', from: at(3), to: at(4), began: 'acquired', ended: 'deleted' })
    const { body } = await get('/v1/holders/me')
    expect(body).toMatchObject({ identity: 'me', cursor: expect.any(String) })
    expect(body.holds.map(({ name }: { name: string }) => name)).toEqual(['lock-a', 'lock-b'])
    expect(body.held.map(({ name, ended }: EndedTerm) => [name, ended])).toEqual([
      ['lock-d', 'deleted'],
      ['lock-c', 'released'],
    ])
    const page = (await get('/v1/holders/me?limit=1')).body
    expect((await get(`/v1/holders/me?limit=1&continue=${page.next}`)).body.held).toMatchObject([{ name: 'lock-c' }])
  })

  it('is found by its whole name, whatever is in it', async () => {
    await hold('odd', { holder: 'a/b c\n"d"', from: at(0), began: 'acquired', renewals: 0 })
    expect((await get(`/v1/holders/${encodeURIComponent('a/b c\n"d"')}`)).body.holds).toMatchObject([{ name: 'odd' }])
    expect((await get('/v1/holders/a%2Fb%20c')).status).toBe(404)
    expect((await get('/v1/holders/m')).status).toBe(404)
  })

  it('that never held anything is not known', async () => {
    expect(await get('/v1/holders/nobody')).toMatchObject({
      status: 404,
      body: { detail: expect.stringContaining('"nobody"') },
    })
  })
})

describe('current leases', () => {
  it('are filtered by whether they expired', async () => {
    await leases.append({ name: 'dead', holder: 'x', durationSeconds: 15, renewed: at(0), expired: true })
    const list = async (query: string) =>
      (await get(`/v1/leases?${query}`)).body.items.map(({ name }: { name: string }) => name)
    expect(await list('expired=true')).toEqual(['dead'])
    expect(await list('expired=false')).not.toContain('dead')
    expect(await get('/v1/leases?expired=maybe')).toMatchObject({ status: 400, body: { field: 'expired' } })
  })

  it('are cached for a moment, and asked for again by their ETag', async () => {
    const first = await get('/v1/leases/shop/leader')
    expect(first.headers.get('cache-control')).toBe('public, max-age=1, stale-while-revalidate=5')
    const etag = first.headers.get('etag') ?? ''
    expect(etag).toMatch(/^W\/"[0-9a-f]+"$/)
    const same = await get('/v1/leases/shop/leader', { 'if-none-match': etag })
    expect([same.status, same.body, same.headers.get('etag')]).toEqual([304, undefined, etag])
    // A renewal moves the state on, though it is no event.
    await leases.operate([
      { op: 'set', key: 'shop/leader', record: JSON.stringify({ ...first.body, renewed: at(9_000), labels: {} }) },
    ])
    expect(await get('/v1/leases/shop/leader', { 'if-none-match': etag })).toMatchObject({ status: 200 })
    for (const path of ['/v1/leases', '/v1/leases/shop/leader/holders', '/v1/holders/me']) {
      expect((await get(path)).headers.get('etag')).toBeTruthy()
    }
  })

  it('have an ETag that outlives what happens elsewhere', async () => {
    const path = '/v1/leases/shop/leader/holders?until=2026-01-01T01:00:00Z'
    const first = await get(path)
    await leases.append({ name: 'another', holder: 'x', expired: false })
    const again = await get(path, { 'if-none-match': first.headers.get('etag') ?? '' })
    expect(again.status).toBe(304)
    expect((await get(path)).body.cursor).not.toBe(first.body.cursor)
  })

  it('are picked by patterns of namespaces and names, and by nobody who holds them', async () => {
    await leases.append(
      { namespace: 'team-a', name: 'one', holder: 'x', expired: false },
      { namespace: 'team-b', name: 'one', holder: null, expired: false },
      { namespace: 'team-b', name: 'two', holder: 'x', expired: false },
    )
    const list = async (query: string) => {
      const { items } = (await get(`/v1/leases?${query}`)).body
      return items.map((item: { namespace: string; name: string }) => `${item.namespace}/${item.name}`)
    }
    expect(await list('namespace=team-*')).toEqual(['team-a/one', 'team-b/one', 'team-b/two'])
    expect(await list('namespace=team-*,!team-a&name=t*')).toEqual(['team-b/two'])
    expect(await list('namespace=!shop&name=!one')).toEqual(['team-b/two'])
    expect(await list('namespace=team-*&holder=')).toEqual(['team-b/one'])
    expect(await list('namespace=team-*&holder=x&expired=true')).toEqual([])
  })

  it('are found by who holds them among however many, in pages, those that expired too', async () => {
    const others = Array.from({ length: 6_000 }, (_, i) => ({
      namespace: 'many',
      name: `a-${i}`,
      holder: 'x',
      expired: false,
    }))
    await leases.append(...others)
    const term = { holder: 'busy', from: at(0), began: 'acquired', renewals: 0 } as const
    await hold('z-one', term)
    await hold('z-two', term)
    await hold('z-expired', term)
    await end('z-expired', { ...term, to: at(9), ended: 'expired' })
    await leases.append({ name: 'z-expired', holder: 'busy', expired: true })
    await hold('z-lost', term)
    await end('z-lost', { ...term, to: at(9), ended: 'released' })
    const list = async (query: string) => {
      const { items, next } = (await get(`/v1/leases?${query}`)).body
      return { names: items.map(({ name }: { name: string }) => name), next }
    }
    expect(await list('holder=busy,nobody')).toEqual({ names: ['z-expired', 'z-one', 'z-two'], next: undefined })
    expect((await list('holder=busy&expired=true')).names).toEqual(['z-expired'])
    const first = await list('holder=busy&limit=2')
    expect(first.names).toEqual(['z-expired', 'z-one'])
    expect((await list(`holder=busy&limit=2&continue=${first.next}`)).names).toEqual(['z-two'])
    expect((await list('holder=busy&namespace=!shop')).names).toEqual([])
  })

  it('are for the one who asked alone where credentials were sent, and refusals are not kept', async () => {
    const mine = await get('/v1/leases/shop/leader', { authorization: 'Bearer x' })
    expect(mine.headers.get('cache-control')).toBe('private, no-cache')
    expect(mine.headers.get('vary')).toContain('authorization')
    expect((await get('/v1/leases/shop/nope')).headers.get('cache-control')).toBe('no-store')
  })
})

it('is described in the OpenAPI document', async () => {
  const { paths } = (await get('/openapi.json')).body
  for (const path of [
    '/v1/leases',
    '/v1/leases/{namespace}/{name}',
    '/v1/leases/{namespace}/{name}/holders',
    '/v1/holders/{identity}',
  ]) {
    expect(Object.keys(paths[path].get.responses)).toContain('304')
  }
})
