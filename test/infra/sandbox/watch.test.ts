import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { ask, startStill, type Watch, watch } from './client.ts'

let sandbox: Sandbox
let stream: Watch | undefined
afterEach(async () => {
  stream?.abort()
  await sandbox.stop()
})

const put = (name: string, labels: Record<string, string> = {}, namespace = 'shop') =>
  sandbox.store.put('pods', { metadata: { name, namespace, labels } })

async function open(query: string, namespace = ''): Promise<Watch> {
  const scope = namespace === '' ? '' : `namespaces/${namespace}/`
  stream = await watch(`${sandbox.url}/api/v1/${scope}pods?watch=1&${query}`)
  return stream
}

async function take(from: Watch, count: number): Promise<string[]> {
  const out: string[] = []
  for (let index = 0; index < count; index++) {
    const { type, object } = await from.next()
    out.push(`${type} ${object.metadata.name ?? ''} ${object.metadata.resourceVersion}`)
  }
  return out
}

describe('watching', () => {
  it.each(['', 'resourceVersion=0'])('starts with the current objects when asked with "%s"', async (query) => {
    sandbox = await startStill()
    const rvs = [put('a'), put('b')].map((pod) => pod.metadata.resourceVersion)
    const pods = await open(query)
    put('c')
    expect(await take(pods, 3)).toEqual([
      `ADDED a ${rvs[0]}`,
      `ADDED b ${rvs[1]}`,
      `ADDED c ${sandbox.store.resourceVersion}`,
    ])
  })

  it('resumes exactly after a resourceVersion, with every event in between', async () => {
    sandbox = await startStill()
    const { resourceVersion } = put('a').metadata
    put('a', { v: '2' })
    sandbox.store.remove('pods', 'shop', 'a')
    const now = sandbox.store.resourceVersion
    const pods = await open(`resourceVersion=${resourceVersion}`)
    put('b')
    expect(await take(pods, 3)).toEqual([`MODIFIED a ${now - 1}`, `DELETED a ${now}`, `ADDED b ${now + 1}`])
  })

  it('streams the initial list, marks its end, and goes on', async () => {
    sandbox = await startStill()
    put('a')
    const pods = await open('sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true')
    const end = sandbox.store.resourceVersion
    expect(await take(pods, 1)).toEqual([`ADDED a ${end}`])
    const marker = await pods.next()
    expect(marker.object.metadata).toEqual({
      resourceVersion: String(end),
      annotations: { 'k8s.io/initial-events-end': 'true' },
    })
    put('b')
    expect(await take(pods, 1)).toEqual([`ADDED b ${end + 1}`])
  })

  it('reports a streaming list from the future as an ERROR event', async () => {
    sandbox = await startStill()
    const pods = await open('sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=99999')
    const { type, object } = await pods.next()
    expect([pods.code, type, object.code]).toEqual([200, 'ERROR', 504])
    expect(await pods.line()).toBeUndefined()
  })

  it('keeps silent about a future resourceVersion until it has passed', async () => {
    sandbox = await startStill({ bookmarkInterval: 5 })
    const now = sandbox.store.resourceVersion
    const pods = await open(`resourceVersion=${now + 2}&allowWatchBookmarks=true`)
    for (const name of ['a', 'b', 'c']) put(name)
    expect((await pods.next()).object.metadata.resourceVersion).toBe(String(now + 3))
  })

  it('says 410 inside the stream once the window is exceeded, and 200 on the line', async () => {
    sandbox = await startStill({ history: 3 })
    const { resourceVersion } = put('a').metadata
    for (const name of ['b', 'c', 'd']) put(name)
    const fits = await open(`resourceVersion=${resourceVersion}`)
    expect(await take(fits, 3)).toHaveLength(3)
    fits.abort()
    put('e')
    const late = await open(`resourceVersion=${resourceVersion}`)
    const { type, object } = await late.next()
    expect([late.code, type, object.code, object.reason]).toEqual([200, 'ERROR', 410, 'Expired'])
    expect(await late.line()).toBeUndefined()
  })

  it('turns leaving a selector into DELETED with the last matching state, and entering into ADDED', async () => {
    sandbox = await startStill()
    put('a', { app: 'web' })
    const pods = await open(`resourceVersion=${sandbox.store.resourceVersion}&labelSelector=app%3Dweb`)
    put('a', { app: 'other' })
    put('a', { app: 'other', more: 'x' })
    put('a', { app: 'web' })
    put('a', { app: 'web', more: 'x' })
    sandbox.store.remove('pods', 'shop', 'a')
    const now = sandbox.store.resourceVersion
    const left = await pods.next()
    expect([left.type, left.object.metadata.resourceVersion]).toEqual(['DELETED', String(now - 4)])
    expect(left.object.metadata.labels).toEqual({ app: 'web' })
    expect(await take(pods, 3)).toEqual([`ADDED a ${now - 2}`, `MODIFIED a ${now - 1}`, `DELETED a ${now}`])
  })

  it('watches one namespace, one object, or one node’s pods', async () => {
    sandbox = await startStill()
    const from = `resourceVersion=${sandbox.store.resourceVersion}`
    put('a', {}, 'default')
    put('b')
    sandbox.store.put('pods', { metadata: { name: 'c', namespace: 'shop' }, spec: { nodeName: 'node-1' } })
    const names = async (query: string, namespace = '') => {
      const pods = await open(`${from}&timeoutSeconds=1&${query}`, namespace)
      return (await pods.rest()).map(
        (line) => (JSON.parse(line) as { object: { metadata: { name: string } } }).object.metadata.name,
      )
    }
    const all = await Promise.all([
      names('', 'default'),
      names('fieldSelector=metadata.name%3Db', 'shop'),
      names('fieldSelector=spec.nodeName%3Dnode-1'),
    ])
    expect(all).toEqual([['a'], ['b'], ['c']])
  })

  it('sends bookmarks at the global resourceVersion, and only to those who allow them', async () => {
    sandbox = await startStill({ bookmarkInterval: 20 })
    const pods = await open('resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=1')
    const silent = await watch(`${sandbox.url}/api/v1/pods?watch=1&timeoutSeconds=1`)
    sandbox.store.put('leases', { metadata: { name: 'l', namespace: 'shop' } })
    const lines = await pods.rest()
    expect(lines.length).toBeGreaterThan(1)
    expect(JSON.parse(lines.at(-1) ?? '')).toEqual({
      type: 'BOOKMARK',
      object: {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: { resourceVersion: String(sandbox.store.resourceVersion) },
        spec: { containers: null },
        status: {},
      },
    })
    expect(await silent.rest()).toEqual([])
  })

  it('bookmarks two seconds before its deadline', async () => {
    sandbox = await startStill()
    const pods = await open('allowWatchBookmarks=true&timeoutSeconds=3')
    const lines = await pods.rest()
    expect(lines.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(['BOOKMARK'])
  })

  it('serves tables and bare metadata frame by frame', async () => {
    sandbox = await startStill()
    put('a')
    put('b')
    const accept = (as: string) => ({ accept: `application/json;as=${as};g=meta.k8s.io;v=v1` })
    const url = `${sandbox.url}/api/v1/pods?watch=1&timeoutSeconds=1`
    const [tables, partials] = await Promise.all([
      watch(url, accept('Table')),
      watch(url, accept('PartialObjectMetadata')),
    ])
    const [first, second] = [await tables.next(), await tables.next()]
    expect(first.object.kind).toBe('Table')
    expect(first.object.columnDefinitions).toHaveLength(9)
    expect(second.object.columnDefinitions).toBeNull()
    expect(second.object.rows).toHaveLength(1)
    expect((await partials.next()).object.kind).toBe('PartialObjectMetadata')
  })

  it('refuses bad selectors and versions before it streams', async () => {
    sandbox = await startStill()
    const refused = await ask(`${sandbox.url}/api/v1/pods?watch=1&labelSelector=a%3Db%3Dc`)
    expect(refused.code).toBe(400)
    const odd = await ask(`${sandbox.url}/api/v1/pods?watch=1&resourceVersion=abc`)
    expect(odd.code).toBe(500)
    expect(odd.json.message).toBe(
      'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
    )
  })

  it('cuts off a watcher that does not read, and nobody else', async () => {
    sandbox = await startStill({ watchBuffer: 10, watchPatience: 20 })
    const url = new URL(sandbox.url)
    const from = sandbox.store.resourceVersion
    const deaf = connect(Number(url.port), url.hostname)
    // Written before anyone reads, so that the kernel's buffers are all the deaf one has.
    deaf.write(`GET /api/v1/pods?watch=1&resourceVersion=${from} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await once(deaf, 'connect')
    deaf.pause()
    const pods = await open(`resourceVersion=${from}`)
    const filler = 'x'.repeat(100_000)
    const count = 400
    const reading = take(pods, count)
    for (let index = 0; index < count; index++) {
      sandbox.store.put('pods', { metadata: { name: `p${index}`, namespace: 'shop', annotations: { filler } } })
      if (index % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    }
    expect(await reading).toHaveLength(count)
    let received = ''
    await new Promise<void>((resolve) => {
      deaf.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1')
        // The last chunk of the body: the stream ended, though not where its events did.
        if (received.endsWith('\r\n0\r\n\r\n')) resolve()
      })
      deaf.resume()
    })
    deaf.destroy()
    const complete = received.split('\n').filter((line) => line.startsWith('{"type"')).length
    expect(complete).toBeGreaterThan(0)
    expect(complete).toBeLessThan(count)
  })

  it('shrugs when a watcher hangs up, and lets go of it', async () => {
    sandbox = await startStill()
    const pods = await open('')
    pods.abort()
    await pods.rest()
    for (let index = 0; index < 10; index++) put(`p${index}`)
    expect((await ask(`${sandbox.url}/readyz`)).text).toBe('ok')
  })

  it('ends its watches cleanly when the server stops', async () => {
    sandbox = await createSandbox({ world: false })
    sandbox.store.put('pods', { metadata: { name: 'a', namespace: 'default' } })
    const pods = await open('')
    await pods.next()
    await sandbox.stop()
    expect(await pods.line()).toBeUndefined()
  })

  it('hears of thousands of changes in order, without a gap', async () => {
    sandbox = await startStill()
    const pods = await open(`resourceVersion=${sandbox.store.resourceVersion}`)
    const count = 5000
    for (let index = 0; index < count; index++) put(`p${index % 50}`, { index: String(index) })
    const got: string[] = []
    while (got.length < count) got.push((await pods.next()).object.metadata.resourceVersion ?? '')
    expect(got).toEqual(sandbox.store.history('pods').map((event) => String(event.resourceVersion)))
  })
})
