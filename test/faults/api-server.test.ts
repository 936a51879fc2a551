import { Transform } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { createKeys } from '../../shared/keys.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import {
  type FaultyServer,
  isList,
  isResume,
  isWatch,
  type Misbehaviour,
  startFaultyServer,
} from '../support/faulty-server.ts'
import { sendStatus } from '../support/scripted-server.ts'
import { putPod, setStage } from './stage.ts'

const stage = setStage()

async function front(): Promise<FaultyServer> {
  const server = await startFaultyServer(stage.sandbox.url)
  stage.onEnd(() => server.stop())
  return server
}

/** Changes each line of a watch, or cuts it off with an error. */
function eachLine(change: (line: string, number: number) => string): Transform {
  let tail = ''
  let number = 0
  return new Transform({
    transform(chunk, _, done) {
      const lines = (tail + chunk).split('\n')
      tail = lines.pop() ?? ''
      done(null, lines.map((line) => change(`${line}\n`, number++)).join(''))
    },
  })
}

/** Ends a watch after so many bytes, as the server (`end`) or as the network does. */
function cutAfter(bytes: number, how: 'end' | 'error'): Transform {
  let left = bytes
  return new Transform({
    transform(chunk: Buffer, _, done) {
      const piece = chunk.subarray(0, left)
      left -= piece.length
      this.push(piece)
      if (left > 0) return done()
      if (how === 'error') return done(new Error('cut'))
      this.push(null)
    },
  })
}

const listsOf = (server: FaultyServer) => server.asked.filter(isList).length

describe('an API server that loses history', () => {
  it.each<[string, Misbehaviour]>([
    ['R51 as a status', (response) => sendStatus(response, 410, 'Expired')],
    [
      'R50 as an event',
      (response) => {
        response.end('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}\n')
      },
    ],
  ])('is followed by a gap record and the right state when it says 410 %s', async (_, how) => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(30)
    await stage.verify()
    const used = server.misbehave(isResume, how)
    // What happens between the break and the new state is what nobody can tell.
    const changed = server.misbehave(isWatch, async (_response, forward) => {
      await stage.stir(20)
      await forward()
    })
    server.cut()
    await used
    await changed
    await stage.stir(30)
    const { gaps, covered } = await stage.verify()
    expect([gaps.length, covered > 0]).toEqual([1, true])
    expect((await stage.gaps())[0]?.data).toMatchObject({ reason: 'expired' })
  })

  it('R50 is followed by a gap record when it really compacted', async () => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(30)
    await stage.verify()
    const used = server.misbehave(isResume, async (_, forward) => {
      await stage.stir(20)
      stage.sandbox.store.compact()
      await forward()
    })
    server.cut()
    await used
    await stage.stir(30)
    expect((await stage.verify()).gaps).toHaveLength(1)
  })

  it('R7 is asked for everything anew when a list expires midway, and never for the rest', async () => {
    for (let n = 0; n < 700; n++) putPod(stage.sandbox, `many-${n}`)
    const server = await front()
    void server.misbehave(isWatch, (response) => sendStatus(response, 422, 'Invalid', 'sendInitialEvents is forbidden'))
    const expired = server.misbehave(
      ({ query }) => query.has('continue'),
      async (_, forward) => {
        stage.sandbox.store.remove('pods', 'shop', 'many-0')
        putPod(stage.sandbox, 'many-1', { phase: 'Failed' })
        stage.sandbox.store.compact()
        await forward()
      },
    )
    await stage.watch(server.url)
    await expired
    expect(server.asked.filter(({ query }) => query.has('continue')).length).toBe(1)
    await stage.stir(20)
    expect((await stage.verify()).gaps).toEqual([])
  })

  it('R55 R56 is noticed when it was restored from a backup, and followed into its own history', async () => {
    const server = await front()
    const earlier = await stage.createSandbox()
    for (const sandbox of [stage.sandbox, earlier]) for (let n = 0; n < 5; n++) putPod(sandbox, `p${n}`)
    await stage.watch(server.url, { leastTimeoutSeconds: 30 })
    await stage.stir(60)
    await stage.verify()
    stage.sandbox = earlier
    server.retarget(earlier.url)
    server.cut()
    await expect.poll(stage.gaps, { timeout: 20_000 }).toHaveLength(1)
    expect((await stage.gaps())[0]?.data).toMatchObject({ reason: 'rewound' })
    putPod(earlier, 'new')
    await expect.poll(async () => (await stage.events()).at(-1)?.subject, { timeout: 10_000 }).toBe('shop/new')
    const known = await stage.known()
    expect([...known].map(([key, { uid, resourceVersion }]) => [key, uid, resourceVersion]).toSorted()).toEqual(
      earlier.store
        .list('pods')
        .map(({ metadata }) => [`shop/${metadata.name}`, metadata.uid, metadata.resourceVersion]),
    )
  })
})

describe('an API server whose streams break', () => {
  it('R52 R53 closes watches at once and without a word: the state is read again, and nothing is lost', async () => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(20)
    await stage.verify()
    const before = server.asked.length
    const used = server.misbehave(isResume, (response) => void response.writeHead(200).end(), 2)
    server.cut()
    await used
    await stage.stir(20)
    const { gaps, covered } = await stage.verify()
    await expect.poll(() => server.asked.slice(before).some(({ query }) => query.has('sendInitialEvents'))).toBe(true)
    expect(gaps.length === 0 ? covered : 0).toBe(0)
  })

  it.each(['end', 'error'] as const)('R47 R62 stops inside a frame (%s): the frame comes again, whole', async (how) => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(5)
    let cuts = 0
    // Each watch lives long enough for a frame or two: from any place inside a frame the next goes on.
    const used = server.misbehave(isResume, (_, forward) => forward(cutAfter(900 + 137 * cuts++, how)), 12)
    server.cut()
    for (let round = 0; round < 30; round++) {
      await stage.stir(3)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await used
    expect(await stage.verify()).toMatchObject({ gaps: [] })
    expect(listsOf(server)).toBe(0)
  })

  it.each([
    ['garbage', 'what is this\n'],
    ['R30 an unknown type', '{"type":"MYSTERY","object":{"kind":"Pod"}}\n'],
    ['R10 a Table', '{"type":"MODIFIED","object":{"kind":"Table","metadata":{"resourceVersion":"99"}}}\n'],
    ['R34 no resourceVersion', '{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"x","uid":"y"}}}\n'],
    ['R68 an ERROR without a Status', '{"type":"ERROR","object":"oops"}\n'],
    ['half a character', '{"type":"ADDED","object":"\u00e9'.slice(0, -1)],
  ])('R37 sends %s now and then: the stream starts again before it', async (_, bad) => {
    const server = await front()
    await stage.watch(server.url)
    const used = server.misbehave(isResume, (_r, forward) => forward(eachLine((line, n) => (n === 2 ? bad : line))), 3)
    server.cut()
    for (let round = 0; round < 4; round++) await stage.stir(10)
    await used
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })

  it('R38 sends what cannot be read, always: it is put aside, and the gap announced', async () => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(10)
    await stage.verify()
    void server.misbehave(isResume, (response) => void response.end('\u0000canary\n'), 5)
    server.cut()
    await stage.stir(10)
    await expect.poll(stage.gaps, { timeout: 20_000 }).toHaveLength(1)
    await stage.stir(10)
    expect((await stage.verify()).gaps).toHaveLength(1)
    expect((await stage.gaps())[0]?.data).toMatchObject({ reason: 'unreadable' })
    const key = createKeys(stage.cluster).own('dead-letter', '/api/v1/pods')
    expect(await stage.redis.get(key)).toContain('canary')
  })

  it('R41 tells everything twice, or once more after a break: the log has it once', async () => {
    const server = await front()
    await stage.watch(server.url)
    const used = server.misbehave(isResume, (_, forward) => forward(eachLine((line) => line + line)), 1)
    server.cut()
    await used
    await stage.stir(60)
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })
})

describe('objects of unusual size', () => {
  it('R44 of 5 MB go through like others', async () => {
    const server = await front()
    await stage.watch(server.url)
    for (const phase of ['Pending', 'Running', 'Failed'])
      putPod(stage.sandbox, 'large', { phase, filler: 'x'.repeat(5e6) })
    await stage.stir(10)
    stage.sandbox.store.remove('pods', 'shop', 'large')
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })

  it('R48 above 16 MiB end the stream: the gap is announced, and the state right', async () => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(10)
    putPod(stage.sandbox, 'huge', { filler: 'x'.repeat(17 * 1024 * 1024) })
    await expect.poll(stage.gaps, { timeout: 25_000 }).toHaveLength(1)
    await stage.stir(10)
    expect((await stage.verify()).gaps).toHaveLength(1)
  })
})

describe('an API server that refuses for a while', () => {
  it.each<[string, Misbehaviour]>([
    ['R57 429 with Retry-After', (response) => void response.writeHead(429, { 'retry-after': '3' }).end()],
    ['R59 503 with Retry-After', (response) => void response.writeHead(503, { 'retry-after': '2' }).end('{}')],
    ['R60 500', (response) => sendStatus(response, 500, 'InternalError', 'etcdserver: request timed out')],
    [
      'R67 a page of a proxy',
      (response) => void response.writeHead(502, { 'content-type': 'text/html' }).end('<html>502 Bad Gateway</html>'),
    ],
    ['R64 401', (response) => sendStatus(response, 401, 'Unauthorized')],
    ['R65 403', (response) => sendStatus(response, 403, 'Forbidden')],
    ['R65 404', (response) => void response.writeHead(404).end('404 page not found\n')],
  ])('%s: the watch goes on from its cursor, without a list', async (_, how) => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(10)
    const before = server.asked.length
    const used = server.misbehave(isResume, how, 3)
    server.cut()
    await stage.stir(20)
    await used
    await stage.stir(10)
    expect(await stage.verify()).toMatchObject({ gaps: [], covered: 0 })
    const snapshots = server.asked
      .slice(before)
      .filter((asked) => isList(asked) || (isWatch(asked) && !isResume(asked)))
    expect(snapshots).toEqual([])
  })

  it('R60 answers 500 for ever on this cursor: the state is read anew', async () => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(10)
    const used = server.misbehave(isResume, (response) => sendStatus(response, 500, 'InternalError'), 5)
    server.cut()
    await used
    await stage.stir(20)
    await stage.verify()
  })

  it('R54 has not reached the asked version: it is waited for', async () => {
    const server = await front()
    await stage.watch(server.url)
    await stage.stir(10)
    const used = server.misbehave(isResume, (response) => {
      response.end(
        `${JSON.stringify({
          type: 'ERROR',
          object: {
            kind: 'Status',
            code: 504,
            reason: 'Timeout',
            message: 'Too large resource version: 99, current: 7',
            details: { causes: [{ reason: 'ResourceVersionTooLarge' }], retryAfterSeconds: 1 },
          },
        })}\n`,
      )
    })
    server.cut()
    await used
    await stage.stir(20)
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })
})

describe('an API server that falls silent', () => {
  it('R69 R72 sends no headers: the watch is given up in time and asked for again', async () => {
    const server = await front()
    await stage.watch(server.url, { leastTimeoutSeconds: 20 })
    await stage.stir(10)
    const used = server.misbehave(isResume, () => undefined)
    server.cut()
    await used
    await stage.stir(20)
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })

  it('R69 R71 is behind a network that swallows everything: half-open connections are found out', async () => {
    const proxy = await startFaultProxy(stage.sandbox.url)
    stage.onEnd(() => proxy.stop())
    await stage.watch(proxy.url, { leastTimeoutSeconds: 20 })
    await stage.stir(10)
    await proxy.set({ blackhole: true })
    const { accepted } = proxy
    await stage.stir(20)
    await expect.poll(() => proxy.accepted, { timeout: 20_000 }).toBeGreaterThan(accepted)
    await proxy.heal()
    await stage.stir(10)
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })

  it('R32 sends bookmarks only: the cursor moves on, and survives a compaction', async () => {
    stage.sandbox = await stage.createSandbox({ bookmarkInterval: 20 })
    const server = await front()
    const watcher = await stage.watch(server.url)
    await stage.stir(10)
    for (let n = 0; n < 30; n++) stage.sandbox.store.put('leases', { metadata: { name: `l${n}`, namespace: 'shop' } })
    const { resourceVersion } = stage.sandbox.store
    await expect.poll(async () => Number(await stage.cursor()), { timeout: 10_000 }).toBe(resourceVersion)
    await watcher.stop()
    stage.sandbox.store.compact()
    await stage.watch(server.url)
    await stage.stir(10)
    expect(await stage.verify()).toMatchObject({ gaps: [] })
    expect(server.asked.filter((asked) => isWatch(asked) && !isResume(asked)).length).toBe(1)
  })
})

describe('two API servers behind one address', () => {
  it('one of which is behind: nothing is told twice, skipped or taken back', async () => {
    const server = await front()
    const replica = await stage.createSandbox()
    const late: (() => unknown)[] = []
    // Each commit of the first, in order: so both have the same versions, one of them later.
    stage.onEnd(
      stage.sandbox.store.subscribe('pods', ({ type, object }) => {
        const { namespace = '', name = '' } = object.metadata
        const { resourceVersion: _, ...metadata } = object.metadata
        late.push(() =>
          type === 'DELETED'
            ? replica.store.remove('pods', namespace, name)
            : replica.store.put('pods', { ...object, metadata }),
        )
      }),
    )
    let turn = 0
    server.retarget((asked) => {
      // A list that names no version is read from etcd, whoever answers: only caches are behind.
      const isCached = isWatch(asked) || asked.query.has('resourceVersion')
      return isCached && turn++ % 2 === 1 ? replica.url : stage.sandbox.url
    })
    await stage.watch(server.url, { leastTimeoutSeconds: 15 })
    // A busy machine comes back later: until both have served several times.
    for (let round = 0; round < 12 || turn <= 5; round++) {
      await stage.stir(15)
      for (const commit of late.splice(0, Math.max(0, late.length - 20))) commit()
      server.cut()
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    for (const commit of late) commit()
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })
})
