import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { findServer, serverFolder } from '../../../infra/redis/state.ts'
import { awaitSummary, isAlive, type RelayProcess, runRelay, startRelay } from '../relay-process.ts'

const roles = ['watch', 'serve', 'deliver']
const patience = { timeout: 80_000, interval: 50 }

let data: string
let started: RelayProcess[] = []

beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'relay-up-'))
})

afterEach(async () => {
  for (const relay of started) {
    if (relay.child.exitCode === null) relay.child.kill('SIGTERM')
    await relay.exited
  }
  started = []
  const left = await findServer(serverFolder(data))
  if (left !== undefined && 'pid' in left.probe) process.kill(left.probe.pid, 'SIGKILL')
  await rm(data, { recursive: true, force: true, maxRetries: 5 })
})

function up(env: Record<string, string> = {}, ...args: string[]): RelayProcess {
  const relay = startRelay(['up', '--port', '0', ...args], { RELAY_DATA: data, LOG_LEVEL: 'debug', ...env })
  started.push(relay)
  return relay
}

async function redisPid(): Promise<number> {
  const found = await findServer(serverFolder(data))
  return found !== undefined && 'pid' in found.probe ? found.probe.pid : 0
}

test('says what credential its commands take, and how to make one that works', async () => {
  const relay = up({ RELAY_AUTH: 'keys' })
  const url = await awaitSummary(relay)
  const summary = relay.stdout()
  expect(summary).toContain('RELAY_TOKEN=$(npx relay keys create me | head -1)')
  expect(summary.match(/^ {2}curl .*$/gm)).toHaveLength(3)
  for (const [line] of summary.matchAll(/^ {2}curl .*$/gm)) {
    expect(line).toContain('-H "Authorization: Bearer $RELAY_TOKEN"')
  }
  expect((await fetch(`${url}/v1/leases`)).status).toBe(401)
  const { stdout } = await runRelay(['keys', 'create', 'me'], { RELAY_DATA: data })
  const [token] = stdout.split('\n')
  const answer = await fetch(`${url}/v1/leases`, { headers: { authorization: `Bearer ${token}` } })
  expect(answer.status).toBe(200)
})

test('starts everything, says where it is, and ends cleanly on Ctrl-C', async () => {
  const relay = up()
  const url = await awaitSummary(relay)
  const summary = relay.stdout()
  expect(summary).toContain('sandbox, a made-up cluster at http://127.0.0.1:')
  expect(summary).toContain('no Kubernetes configuration was found')
  expect(summary).toMatch(/Redis +127\.0\.0\.1:\d+, private: (redis|valkey)-server \d/)
  expect(summary).toContain(`curl -N '${url}/v1/events?resource=pods&from=state'`)
  expect(summary).toContain(`curl -X POST ${url}/v1/webhooks`)
  expect(summary).toContain(`curl ${url}/v1/leases`)

  const password = await readFile(join(data, 'redis', 'password'), 'utf8')
  expect(summary + relay.stderr()).not.toContain(password)
  const kubeconfig = JSON.parse(await readFile(join(data, 'sandbox.kubeconfig'), 'utf8'))
  expect(await (await fetch(`${kubeconfig.clusters[0].cluster.server}/version`)).json()).toHaveProperty('gitVersion')
  await vi.waitUntil(async () => {
    const answer = await fetch(`${url}/v1/pods`)
    const { items = [] } = (await answer.json()) as { items?: unknown[] }
    return items.length > 0
  }, patience)

  const pids = [...roles, 'sandbox'].map((name) => relay.pidOf(name))
  const redis = await redisPid()
  // npm passes on the Ctrl-C that the terminal has sent already: the same keystroke comes twice.
  relay.child.kill('SIGINT')
  relay.child.kill('SIGINT')
  expect(await relay.exited).toEqual({ code: 0, signal: null })
  expect([...pids, redis].filter(isAlive)).toEqual([])
  const drained = relay
    .log()
    .filter((line) => line.msg === 'draining')
    .map((line) => line.role)
  expect(drained).toEqual(['watch', 'deliver', 'serve'])
  // A busy machine may be late; everything else that is worth a warning is a fault.
  const failures = relay
    .log()
    .filter(({ level, msg }) => level === 'error' || (level === 'warn' && msg !== 'not ready yet'))
  expect(failures).toEqual([])
})

test('refuses a second relay on the same data folder', async () => {
  await awaitSummary(up())
  const { code, stderr } = await runRelay(['up', '--port', '0'], { RELAY_DATA: data })
  expect(stderr).toContain('RELAY_DATA: another relay (process ')
  expect(code).toBe(2)
})

test.each(['SIGINT', 'SIGTERM'] as const)('drains in order when %s reaches the whole process group', async (signal) => {
  const relay = startRelay(['up', '--port', '0'], { RELAY_DATA: data, LOG_LEVEL: 'debug' }, { ownGroup: true })
  started.push(relay)
  await awaitSummary(relay)
  await vi.waitUntil(() => roles.every((role) => relay.log().some((line) => line.role === role)), patience)
  const pids = [...roles, 'sandbox'].map((name) => relay.pidOf(name))
  process.kill(-Number(relay.child.pid), signal)
  expect(await relay.exited).toEqual({ code: 0, signal: null })
  expect(pids.filter(isAlive)).toEqual([])
  const lines = relay.log()
  expect(lines.filter(({ msg }) => msg === 'draining').map(({ role }) => role)).toEqual(['watch', 'deliver', 'serve'])
  expect(lines.filter(({ level }) => level === 'error')).toEqual([])
})

test('starts again at once while the one before is still ending', async () => {
  const first = up()
  await awaitSummary(first)
  first.child.kill('SIGINT')
  const readHolder = () => readFile(join(data, 'lock.pid'), 'utf8')
  await vi.waitUntil(async () => (await readHolder()).endsWith('leaving'), patience)
  // It takes its time.
  first.child.kill('SIGSTOP')
  const second = up()
  await vi.waitUntil(() => second.stderr().includes('that is ending'), patience)
  expect(second.log().some(({ msg }) => msg === 'started a process')).toBe(false)
  first.child.kill('SIGCONT')
  await awaitSummary(second)
  expect(await first.exited).toEqual({ code: 0, signal: null })
  expect(second.log().filter(({ level }) => level === 'error')).toEqual([])
})

test('starts a role again that crashed, in the same place', async () => {
  const relay = up()
  const url = await awaitSummary(relay)
  for (const role of roles) {
    const pid = relay.pidOf(role)
    process.kill(pid, 'SIGKILL')
    await vi.waitUntil(() => relay.log().some((line) => line.msg === `${role} is up again`), patience)
    expect(relay.pidOf(role)).not.toBe(pid)
  }
  expect((await fetch(`${url}/healthz`)).status).toBe(200)
})

test('leaves nothing but Redis running when it is killed, and takes that over the next time', async () => {
  const killed = up()
  await awaitSummary(killed)
  const pids = [...roles, 'sandbox'].map((name) => killed.pidOf(name))
  const redis = await redisPid()
  killed.child.kill('SIGKILL')
  await vi.waitUntil(() => !pids.some(isAlive), patience)
  expect(isAlive(redis)).toBe(true)

  const next = up()
  await awaitSummary(next)
  expect(next.stdout()).toContain('taken over from an earlier run')
  expect(await redisPid()).toBe(redis)
  next.child.kill('SIGTERM')
  expect(await next.exited).toEqual({ code: 0, signal: null })
  expect(isAlive(redis)).toBe(false)
})

test('is forced to end by a second Ctrl-C', async () => {
  const relay = up()
  await awaitSummary(relay)
  const pids = [...roles, 'sandbox'].map((name) => relay.pidOf(name))
  const redis = await redisPid()
  // A role that hangs: it would be waited for.
  process.kill(relay.pidOf('watch'), 'SIGSTOP')
  relay.child.kill('SIGINT')
  const again = setInterval(() => relay.child.kill('SIGINT'), 600)
  expect(await relay.exited).toEqual({ code: 130, signal: null })
  clearInterval(again)
  await vi.waitUntil(() => ![...pids, redis].some(isAlive), patience)
})

test('can be told to end while it starts', async () => {
  const relay = up()
  await vi.waitUntil(() => relay.stderr().includes('started a process'), patience)
  relay.child.kill('SIGTERM')
  expect(await relay.exited).toEqual({ code: 0, signal: null })
  expect(await redisPid()).toBe(0)
  for (const name of [...roles, 'sandbox']) expect(isAlive(relay.pidOf(name) || 2 ** 30)).toBe(false)
})

test('lets a role be started beside it', async () => {
  await awaitSummary(up())
  const beside = startRelay(['serve', '--port', '0'], { RELAY_DATA: data })
  started.push(beside)
  await vi.waitUntil(() => beside.log().some((line) => line.msg === 'serving'), patience)
  const url = String(beside.log().find((line) => line.msg === 'serving')?.url)
  await vi.waitUntil(async () => {
    const { items = [] } = (await (await fetch(`${url}/v1/pods`)).json()) as { items?: unknown[] }
    return items.length > 0
  }, patience)
  beside.child.kill('SIGINT')
  expect(await beside.exited).toEqual({ code: 0, signal: null })
})

test('keeps trying where Redis cannot be reached, and says so', async () => {
  const relay = up({ REDIS_URL: 'redis://:s3cret@127.0.0.1:1' })
  const url = await awaitSummary(relay)
  expect(relay.stdout()).toContain('redis://***@127.0.0.1:1 (from REDIS_URL)')
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
  expect(relay.stderr()).not.toContain('s3cret')
  relay.child.kill('SIGINT')
  expect(await relay.exited).toEqual({ code: 0, signal: null })
})
