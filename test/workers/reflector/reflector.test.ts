import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { KubeConfig } from '@kubernetes/client-node'
import { afterEach, describe, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../../workers/kube/client.ts'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { createReflector, type Reflector, type Sink } from '../../../workers/reflector/reflector.ts'
import {
  type Script,
  type ScriptedServer,
  sendJson,
  sendStatus,
  startScriptedServer,
} from '../../support/scripted-server.ts'

let server: ScriptedServer
let client: KubeClient
let reflector: Reflector

afterEach(async () => {
  reflector.stop()
  await client.close()
  await server.stop()
})

/** Everything that a reflector told its sink, in order. */
interface Told {
  commits: { version: string; gap: string | undefined; names: string[] }[]
  changes: string[]
  cursors: string[]
  dead: Uint8Array[]
  health: string[]
  reasons: (string | undefined)[]
}

/** Starts a reflector of Pods on a scripted server; probes are answered by themselves. */
async function start(
  script: Script,
  options: { cursor?: string; path?: string; newest?: string; leastTimeoutSeconds?: number; random?: number } = {},
): Promise<Told> {
  const { cursor = '', path = '/api/v1/pods', newest = '100000', leastTimeoutSeconds = 300 } = options
  server = await startScriptedServer((asked, response) => {
    if (asked.path.endsWith('/kube-system')) return sendJson(response, 200, { metadata: { uid: 'c' } })
    if (asked.query.get('limit') === '1') return sendJson(response, 200, { metadata: { resourceVersion: newest } })
    return script(asked, response)
  })
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server: server.url, skipTLSVerify: true }, { name: 'u', token: 'secret' })
  client = createKubeClient(config, 'test')
  const told: Told = { commits: [], changes: [], cursors: [], dead: [], health: [], reasons: [] }
  let staged = new Map<string, KubeObject>()
  const sink: Sink = {
    stage: (object) => staged.set(object.metadata?.uid ?? '', object),
    unstage: (object) => staged.delete(object.metadata?.uid ?? ''),
    clearStage: () => staged.clear(),
    commit(version, gap) {
      told.commits.push({ version, gap, names: [...staged.values()].map(({ metadata }) => metadata?.name ?? '') })
      staged = new Map()
    },
    emit: ({ metadata }, gone) =>
      told.changes.push(`${gone ? '-' : '+'}${metadata?.name}@${metadata?.resourceVersion}`),
    advance: (version) => told.cursors.push(version),
    identify: () => undefined,
    deadLetter: (bytes) => told.dead.push(bytes),
    isFull: () => false,
    drained: () => Promise.resolve(),
  }
  reflector = createReflector({
    client,
    path,
    selectors: {},
    cursor,
    clusterUid: 'c',
    sink,
    // The shortest back-off: chance decides it, and here chance is always nought.
    random: () => options.random ?? 0,
    leastTimeoutSeconds,
    report(health, reason) {
      told.health.push(health)
      told.reasons.push(reason)
    },
  })
  reflector.start()
  return told
}

const soon = { timeout: 10_000 }
const pod = (name: string, version: number | string) => ({
  kind: 'Pod',
  metadata: { name, namespace: 'a', uid: `u-${name}`, resourceVersion: String(version) },
})
const frame = (type: string, object: unknown) => `${JSON.stringify({ type, object })}\n`
const marker = (version: string) =>
  frame('BOOKMARK', { metadata: { resourceVersion: version, annotations: { 'k8s.io/initial-events-end': 'true' } } })
const begin = (response: ServerResponse) => response.writeHead(200, { 'content-type': 'application/json' })
const isInitial = (query: URLSearchParams) => query.get('sendInitialEvents') === 'true'

/** Answers each watch in turn; the last one stays open. */
function inTurn(...answers: ((response: ServerResponse) => void)[]): Script {
  let turn = 0
  return (_, response) => {
    const answer = answers[Math.min(turn++, answers.length - 1)]
    answer?.(response)
  }
}

const stay =
  (text = '') =>
  (response: ServerResponse) => {
    begin(response)
    response.write(text)
  }
const end = (text: string) => (response: ServerResponse) => {
  begin(response)
  response.end(text)
}

describe('what a real API server said', () => {
  const recording = readFileSync('test/recordings/pods-lifecycle.body')

  it.each([7, 1000, 65_536])('is read whole when it comes in chunks of %d bytes', async (size) => {
    const told = await start(
      inTurn(async (response) => {
        begin(response)
        for (let at = 0; at < recording.length; at += size) {
          if (!response.write(recording.subarray(at, at + size))) {
            await new Promise((resolve) => response.once('drain', resolve))
          }
        }
      }),
      { newest: '369' },
    )
    const frames = recording
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const objects = frames.filter(({ type }) => type !== 'BOOKMARK')
    await expect.poll(() => told.cursors.at(-1), { timeout: 20_000 }).toBe('1132')
    expect(told.commits).toEqual([{ version: '369', gap: undefined, names: [] }])
    expect(told.changes).toEqual(
      objects.map(
        ({ type, object }) =>
          `${type === 'DELETED' ? '-' : '+'}${object.metadata.name}@${object.metadata.resourceVersion}`,
      ),
    )
  })

  it('R7 R18 is read in pages where it was recorded in pages', async () => {
    const pages = [1, 2, 3].map((n) => readFileSync(`test/recordings/leases-list-page${n}.body`))
    const asked: (string | null)[] = []
    const told = await start(
      ({ query }, response) => {
        if (isInitial(query)) {
          response.writeHead(422, { 'content-type': 'application/json' })
          response.end(readFileSync('test/recordings/watch-422-sendInitialEvents-without-match.body'))
        } else if (query.get('watch')) stay()(response)
        else {
          asked.push(query.get('continue'))
          begin(response).end(pages[asked.length - 1])
        }
      },
      { path: '/apis/coordination.k8s.io/v1/leases' },
    )
    await expect.poll(() => told.commits.length, soon).toBe(1)
    const lists = pages.map((page) => JSON.parse(page.toString()))
    expect(told.commits[0]).toEqual({
      version: lists[0].metadata.resourceVersion,
      gap: undefined,
      names: lists.flatMap(({ items }) => items.map((item: KubeObject) => item.metadata?.name)),
    })
    expect(asked).toEqual([null, lists[0].metadata.continue, lists[1].metadata.continue])
  })

  it('R50 a recorded 410 inside a 200 leads to a new snapshot, announced as a gap', async () => {
    const expired = readFileSync('test/recordings/watch-410-expired.body', 'utf8')
    const told = await start(inTurn(end(expired), stay(frame('ADDED', pod('a', 3)) + marker('9'))), { cursor: '5' })
    await expect.poll(() => told.commits, soon).toEqual([{ version: '9', gap: 'expired', names: ['a'] }])
  })

  it('R10 a recorded Table is refused, however it comes', async () => {
    const table = JSON.parse(readFileSync('test/recordings/pods-table.body', 'utf8'))
    const lists = [table, { kind: 'PodList', metadata: { resourceVersion: '9' }, items: [] }]
    const told = await start(({ query }, response) => {
      if (isInitial(query)) end(frame('ADDED', table))(response)
      else if (query.get('watch')) stay()(response)
      else sendJson(response, 200, lists.shift())
    })
    await expect.poll(() => told.commits, soon).toEqual([{ version: '9', gap: undefined, names: [] }])
    expect(told.reasons).toContain('a Table where an object was asked for')
    expect(told.reasons).toContain('a Table where a list was asked for')
  })

  it.each([
    ['watch-401-bad-token', 401, 'Unauthorized'],
    ['watch-403-forbidden', 403, 'cannot watch'],
    ['watch-404-unknown-resource', 404, 'HTTP 404'],
    ['list-504-too-large-resource-version', 504, 'Too large resource version'],
  ])('R65 %s degrades the watch, says why, and is tried again', async (name, status, reason) => {
    const body = readFileSync(`test/recordings/${name}.body`)
    const told = await start(
      inTurn(
        (response) => {
          response.writeHead(status, { 'content-type': 'application/json' })
          response.end(body)
        },
        stay(frame('ADDED', pod('a', 6))),
      ),
      { cursor: '5' },
    )
    await expect.poll(() => told.changes, soon).toEqual(['+a@6'])
    expect(told.reasons.some((one) => one?.includes(reason))).toBe(true)
    expect(server.asked.some(({ query }) => isInitial(query))).toBe(false)
  })
})

describe('a watch that breaks', () => {
  const resumes = () =>
    server.asked.filter(({ query }) => query.get('watch')).map(({ query }) => query.get('resourceVersion'))

  it.each<[string, (response: ServerResponse) => void]>([
    ['by a reset', (response) => response.destroy()],
    ['R47 inside a frame', (response) => response.end('{"type":"MODIFIED","obj')],
    ['R30 by an unknown event type', (response) => response.write(frame('SYNC', pod('x', 9)))],
    ['R37 by a frame that is no JSON', (response) => response.write('<html>oops</html>\n')],
    [
      'R34 by an object without a version',
      (response) => response.write(frame('ADDED', { metadata: { uid: 'u', name: 'n' } })),
    ],
    ['R57 by a 429 as an event', (response) => response.write(frame('ERROR', { kind: 'Status', code: 429 }))],
    ['R68 by an ERROR that is no Status', (response) => response.write(frame('ERROR', { hello: 1 }))],
  ])('%s is resumed after the last whole change, without a list', async (_, how) => {
    const told = await start(
      inTurn(
        (response) => {
          begin(response)
          response.write(frame('ADDED', pod('a', 6)) + frame('MODIFIED', pod('a', 7)), () =>
            setTimeout(() => how(response), 20),
          )
        },
        stay(frame('MODIFIED', pod('a', 8))),
      ),
      { cursor: '5' },
    )
    await expect.poll(() => told.changes, soon).toEqual(['+a@6', '+a@7', '+a@8'])
    expect(resumes()).toEqual(['5', '7'])
    expect(told.commits).toEqual([])
  })

  it('R38 on the same bytes every time gives them up, keeps them, and takes a snapshot', async () => {
    const told = await start(
      ({ query }, response) => (isInitial(query) ? stay(marker('9'))(response) : end('garbage\n')(response)),
      { cursor: '5' },
    )
    await expect.poll(() => told.commits, soon).toEqual([{ version: '9', gap: 'unreadable', names: [] }])
    expect(told.dead.map((bytes) => Buffer.from(bytes).toString())).toEqual(['garbage'])
  })

  it('R67 R60 with HTML from a proxy is resumed', async () => {
    const told = await start(
      inTurn(
        (response) => {
          response.writeHead(502, { 'content-type': 'text/html' })
          response.end('<html>Bad Gateway</html>')
        },
        stay(frame('ADDED', pod('a', 6))),
      ),
      { cursor: '5' },
    )
    await expect.poll(() => told.changes, soon).toEqual(['+a@6'])
    expect(told.reasons).toContain('HTTP 502')
  })

  it('R51 with HTTP 410 on connecting takes a snapshot', async () => {
    const told = await start(
      inTurn((response) => sendStatus(response, 410, 'Gone'), stay(marker('9'))),
      { cursor: '5' },
    )
    await expect.poll(() => told.commits, soon).toEqual([{ version: '9', gap: 'expired', names: [] }])
  })

  it('R15 R17 before its snapshot is whole hands on none of it', async () => {
    const told = await start(
      inTurn(
        end(frame('ADDED', pod('a', 3)) + frame('ADDED', pod('b', 4))),
        stay(frame('ADDED', pod('b', 4)) + frame('ADDED', pod('c', 2)) + frame('DELETED', pod('b', 8)) + marker('9')),
      ),
    )
    await expect.poll(() => told.commits, soon).toEqual([{ version: '9', gap: undefined, names: ['c'] }])
    expect(told.changes).toEqual([])
  })
})

it('R56 a server whose newest version is behind the cursor leads to a snapshot', async () => {
  const told = await start(inTurn(stay(marker('9'))), { cursor: '500', newest: '9' })
  await expect.poll(() => told.commits, soon).toEqual([{ version: '9', gap: 'rewound', names: [] }])
})

it('R12 R23 sends exactly the parameters that the server expects', async () => {
  const told = await start(inTurn(end(marker('9')), stay()))
  await expect.poll(() => server.asked.length, soon).toBe(4)
  const [, , initial, resumed] = server.asked.map(({ query }) => Object.fromEntries(query))
  expect(initial).toEqual({
    watch: 'true',
    sendInitialEvents: 'true',
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: 'true',
    timeoutSeconds: '300',
  })
  expect(resumed).toEqual({ watch: 'true', allowWatchBookmarks: 'true', timeoutSeconds: '300', resourceVersion: '9' })
  expect(server.asked[2]?.headers.authorization).toBe('Bearer secret')
  expect(told.health).toEqual(['syncing', 'synced'])
})

it.each([
  [0, '60'],
  [0.999, '119'],
])(
  'R29 keeps watches short where the least timeout is configured: at chance %d it lasts %s s',
  async (random, seconds) => {
    await start(inTurn(end(marker('9')), stay()), { leastTimeoutSeconds: 60, random })
    await expect.poll(() => server.asked.filter(({ query }) => query.get('watch')).length, soon).toBeGreaterThan(0)
    const watch = server.asked.find(({ query }) => query.get('watch'))
    expect(watch?.query.get('timeoutSeconds')).toBe(seconds)
  },
)

it('R4 R9 takes a list whose server ignores the limit', async () => {
  const items = Array.from({ length: 1500 }, (_, n) => pod(`p${n}`, n + 1))
  const told = await start(({ query }, response) => {
    if (isInitial(query)) sendStatus(response, 422, 'Invalid')
    else if (query.get('watch')) stay()(response)
    else sendJson(response, 200, { kind: 'PodList', metadata: { resourceVersion: '5000' }, items })
  })
  await expect.poll(() => told.commits.map(({ names }) => names.length), soon).toEqual([1500])
  expect(server.asked.filter(({ query }) => query.get('limit') === '500').length).toBe(1)
})

it('R25 never takes the version "0" for a cursor: a watch from there begins anywhere', async () => {
  const versions = ['0', '9']
  const told = await start(({ query }, response) => {
    if (isInitial(query)) sendStatus(response, 422, 'Invalid')
    else if (query.get('watch')) stay()(response)
    else sendJson(response, 200, { kind: 'PodList', metadata: { resourceVersion: versions.shift() }, items: [] })
  })
  await expect.poll(() => told.commits.map(({ version }) => version), soon).toEqual(['9'])
  expect(server.asked.map(({ query }) => query.get('resourceVersion'))).not.toContain('0')
})

it('R48 keeps the beginning of a frame above the cap as a dead letter, and takes a snapshot', async () => {
  const huge = `{"type":"ADDED","object":{"x":"${'x'.repeat(17 * 1024 * 1024)}`
  const told = await start(
    ({ query }, response) => (isInitial(query) ? stay(marker('9'))(response) : end(huge)(response)),
    { cursor: '5' },
  )
  await expect.poll(() => told.commits, { timeout: 20_000 }).toEqual([{ version: '9', gap: 'unreadable', names: [] }])
  expect(told.dead.map((bytes) => Buffer.from(bytes).toString().slice(0, 24))).toEqual(['{"type":"ADDED","object"'])
})

it('R78 R79 a stop ends a sleep: nothing is asked any more', async () => {
  const told = await start((_, response) => sendStatus(response, 500, 'InternalError'), { cursor: '5', random: 0.999 })
  await expect.poll(() => told.health, soon).toContain('degraded')
  reflector.stop()
  const asked = server.asked.length
  await new Promise((resolve) => setTimeout(resolve, 1200))
  expect(server.asked.length).toBe(asked)
})
