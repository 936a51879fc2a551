import { afterEach, describe, expect, it } from 'vitest'
import type { Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { ask, type Reply, startStill } from './client.ts'

let sandbox: Sandbox
afterEach(() => sandbox.stop())

async function start(count: number, options: Parameters<typeof startStill>[0] = {}): Promise<void> {
  sandbox = await startStill(options)
  for (let index = 0; index < count; index++) {
    sandbox.store.put('pods', {
      metadata: {
        name: `p${index}`,
        namespace: index % 2 === 0 ? 'shop' : 'default',
        labels: { index: String(index), ...(index < 3 ? { tier: 'front' } : {}) },
      },
      spec: { nodeName: index < 4 ? 'node-1' : '', containers: [] },
      status: { phase: index === 0 ? 'Running' : 'Pending' },
    })
  }
}

const list = (query = '', namespace = '') =>
  ask(`${sandbox.url}/api/v1/${namespace === '' ? '' : `namespaces/${namespace}/`}pods${query}`)

function namesIn(reply: Reply): string[] {
  return (reply.json.items as { metadata: { name: string } }[]).map((item) => item.metadata.name)
}

const metadataOf = (reply: Reply) =>
  reply.json.metadata as { resourceVersion: string; continue?: string; remainingItemCount?: number }

describe('listing', () => {
  it('returns items in key order, without kinds, at the newest resourceVersion', async () => {
    await start(4)
    const reply = await list()
    expect(namesIn(reply)).toEqual(['p1', 'p3', 'p0', 'p2'])
    expect(reply.json.kind).toBe('PodList')
    expect((reply.json.items as object[]).some((item) => 'kind' in item)).toBe(false)
    expect(metadataOf(reply)).toEqual({ resourceVersion: String(sandbox.store.resourceVersion) })
  })

  it('keeps later pages at the first page’s resourceVersion', async () => {
    await start(6)
    const first = await list('?limit=2', 'shop')
    expect(namesIn(first)).toEqual(['p0', 'p2'])
    expect(metadataOf(first).remainingItemCount).toBe(1)
    sandbox.store.remove('pods', 'shop', 'p4')
    sandbox.store.put('pods', { metadata: { name: 'p9', namespace: 'shop' } })
    const second = await list(`?limit=2&continue=${metadataOf(first).continue}`, 'shop')
    expect(namesIn(second)).toEqual(['p4'])
    expect(metadataOf(second)).toEqual({ resourceVersion: metadataOf(first).resourceVersion })
  })

  it('offers an inconsistent token when a continue token has expired', async () => {
    await start(6)
    const first = await list('?limit=2', 'shop')
    sandbox.store.put('pods', { metadata: { name: 'p5', namespace: 'shop' } })
    sandbox.store.compact()
    const late = await list(`?limit=2&continue=${metadataOf(first).continue}`, 'shop')
    expect(late.code).toBe(410)
    expect(late.json.reason).toBe('Expired')
    expect(late.json.message).toContain('The provided continue parameter is too old')
    const token = (late.json.metadata as { continue: string }).continue
    expect(JSON.parse(Buffer.from(token, 'base64url').toString())).toMatchObject({ rv: -1 })
    const rest = await list(`?limit=2&continue=${token}`, 'shop')
    expect(namesIn(rest)).toEqual(['p4', 'p5'])
    expect(metadataOf(rest).resourceVersion).toBe(String(sandbox.store.resourceVersion))
  })

  it.each(['!!!', 'bm9wZQ', 'e30'])('refuses the continue token %s', async (token) => {
    await start(1)
    const reply = await list(`?limit=1&continue=${token}`)
    expect(reply.code).toBe(400)
    expect(reply.json.message).toContain('invalid continue token: continue key is not valid: ')
  })

  it('says nothing about what remains when a selector makes it unknown', async () => {
    await start(6)
    const reply = await list('?limit=1&labelSelector=tier%3Dfront')
    expect(namesIn(reply)).toEqual(['p1'])
    expect(metadataOf(reply).continue).toBeDefined()
    expect(metadataOf(reply).remainingItemCount).toBeUndefined()
  })

  it('reads an exact resourceVersion from history, and refuses one that is gone', async () => {
    await start(2)
    const then = sandbox.store.resourceVersion
    sandbox.store.remove('pods', 'shop', 'p0')
    const exact = await list(`?resourceVersion=${then}&resourceVersionMatch=Exact`)
    expect(namesIn(exact)).toEqual(['p1', 'p0'])
    expect(metadataOf(exact).resourceVersion).toBe(String(then))
    const newer = await list(`?resourceVersion=${then}&resourceVersionMatch=NotOlderThan`)
    expect(namesIn(newer)).toEqual(['p1'])
    sandbox.store.compact()
    const gone = await list(`?resourceVersion=${then}&resourceVersionMatch=Exact`)
    expect([gone.code, gone.json.message]).toEqual([410, 'The resourceVersion for the provided list is too old.'])
  })

  it('ignores a limit at resourceVersion 0, as the watch cache does', async () => {
    await start(4)
    const reply = await list('?resourceVersion=0&limit=1')
    expect(namesIn(reply)).toHaveLength(4)
  })

  it('waits for a resourceVersion that is about to happen', async () => {
    await start(1, { freshnessPatience: 10_000 })
    const asking = list(`?resourceVersion=${sandbox.store.resourceVersion + 1}`)
    // The put waits for the request to arrive: a still sandbox moves only when we move it.
    setTimeout(() => sandbox.store.put('pods', { metadata: { name: 'late', namespace: 'shop' } }), 50)
    expect(namesIn(await asking)).toContain('late')
  })

  it.each([
    ['resourceVersionMatch=Exact', 'resourceVersionMatch is forbidden unless resourceVersion is provided'],
    [
      'resourceVersion=0&resourceVersionMatch=Exact',
      'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
    ],
    [
      'resourceVersion=1&resourceVersionMatch=Odd',
      'Unsupported value: "Odd": supported values: "Exact", "NotOlderThan", ""',
    ],
    ['sendInitialEvents=true', 'sendInitialEvents is forbidden for list'],
  ])('refuses %s', async (query, message) => {
    await start(0)
    const reply = await list(`?${query}`)
    expect(reply.code).toBe(422)
    expect(reply.json.message).toContain(message)
  })

  it.each([
    ['tier=front', ['p1', 'p0', 'p2']],
    ['tier==front,index!=0', ['p1', 'p2']],
    ['!tier', ['p3', 'p4']],
    ['tier', ['p1', 'p0', 'p2']],
    ['index in (0, 3)', ['p3', 'p0']],
    ['index notin (0,1,2)', ['p3', 'p4']],
    ['index>2', ['p3', 'p4']],
  ])('selects by labels %s', async (selector, names) => {
    await start(5)
    expect(namesIn(await list(`?labelSelector=${encodeURIComponent(selector)}`))).toEqual(names)
  })

  it.each([
    ['a=b=c', "found '=', expected: ',' or 'end of string'"],
    ['a in b', "unable to parse requirement: found 'b' expected: '('"],
    ['a,,b', "found ',', expected: identifier after ','"],
    ['=a', "found '=', expected: !, identifier, or 'end of string'"],
    ['a b', "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ['-a', 'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of'],
    ['a=-b', 'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be'],
  ])('refuses the label selector %s in the real words', async (selector, message) => {
    await start(0)
    const reply = await list(`?labelSelector=${encodeURIComponent(selector)}`)
    expect(reply.code).toBe(400)
    expect(reply.json.message).toContain(message)
  })

  it.each([
    ['metadata.name=p1', ['p1']],
    ['metadata.namespace!=shop', ['p1', 'p3']],
    ['spec.nodeName=', ['p4']],
    ['status.phase=Running,spec.nodeName=node-1', ['p0']],
  ])('selects by fields %s', async (selector, names) => {
    await start(5)
    expect(namesIn(await list(`?fieldSelector=${encodeURIComponent(selector)}`))).toEqual(names)
  })

  it('words unknown fields of other groups as those groups do', async () => {
    await start(0)
    const reply = await ask(`${sandbox.url}/apis/coordination.k8s.io/v1/leases?fieldSelector=spec.x%3D1`)
    expect(reply.json.message).toBe(
      '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    )
  })

  it('gives metadata alone when asked for it, and refuses what it cannot produce', async () => {
    await start(1)
    const accept = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
    const reply = await ask(`${sandbox.url}/api/v1/pods`, { headers: { accept } })
    expect(reply.json.kind).toBe('PartialObjectMetadataList')
    expect(Object.keys((reply.json.items as object[])[0] ?? {})).toEqual(['kind', 'apiVersion', 'metadata'])
    const refused = await ask(`${sandbox.url}/api/v1/pods`, { headers: { accept: 'text/html' } })
    expect(refused.code).toBe(406)
  })

  it('compresses only what is large, and only for those who can read it', async () => {
    await start(1)
    const headers = { 'accept-encoding': 'gzip' }
    expect((await ask(`${sandbox.url}/api/v1/pods`, { headers })).headers['content-encoding']).toBeUndefined()
    const data = 'x'.repeat(200_000)
    sandbox.store.put('configmaps', { metadata: { name: 'big', namespace: 'shop' }, data: { data } })
    const plain = await ask(`${sandbox.url}/api/v1/configmaps`)
    expect(plain.text.length).toBeGreaterThan(200_000)
    const packed = await fetch(`${sandbox.url}/api/v1/configmaps`)
    expect(packed.headers.get('content-encoding')).toBe('gzip')
    expect(await packed.text()).toBe(plain.text)
  })
})
