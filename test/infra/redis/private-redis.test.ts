import { type ChildProcess, fork } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import pino from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type PrivateRedis, type PrivateRedisOptions, startPrivateRedis } from '../../../infra/redis/private-redis.ts'
import { probeServer } from '../../../infra/redis/probe.ts'
import { findServer, serverFolder, writeState } from '../../../infra/redis/state.ts'
import { testProgramSources } from '../../support/redis.ts'

let dir: string
let options: PrivateRedisOptions
let running: PrivateRedis[] = []

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'relay data "quoted" '))
  options = { ...testProgramSources, dir, log: pino({ level: 'silent' }) }
})

afterEach(async () => {
  for (const redis of running) await redis.stop()
  running = []
  await rm(dir, { recursive: true, force: true })
})

async function start(): Promise<PrivateRedis> {
  const redis = await startPrivateRedis(options)
  running.push(redis)
  return redis
}

async function ask<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url)
  client.on('error', () => undefined)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

async function startInProcess(): Promise<{ relay: ChildProcess; left: { url: string } }> {
  const relay = fork(new URL('./start-and-wait.ts', import.meta.url), [dir])
  const left = await new Promise<{ url: string }>((resolve, reject) => {
    relay.once('message', (message) => resolve(message as { url: string }))
    relay.once('exit', () => reject(new Error('ended without an address')))
  })
  return { relay, left }
}

async function readPid(url: string): Promise<number> {
  const probe = await probeServer(url)
  return 'pid' in probe ? probe.pid : 0
}

test('continues where it stopped', async () => {
  const first = await start()
  await ask(first.url, (client) => client.set('kept', 'yes'))
  await first.stop()
  expect((await probeServer(first.url)).state).toBe('refused')
  expect(await findServer(serverFolder(dir))).toBeUndefined()

  running = []
  const second = await start()
  expect(second.adopted).toBe(false)
  expect(await ask(second.url, (client) => client.get('kept'))).toBe('yes')
})

test('keeps its password in files that only the owner can read', async () => {
  const redis = await start()
  const password = await readFile(join(dir, 'redis', 'password'), 'utf8')
  expect(redis.url).toContain(password)
  for (const file of ['password', 'redis.conf', 'state.json']) {
    expect((await stat(join(dir, 'redis', file))).mode & 0o077).toBe(0)
  }
  const open = new URL(redis.url)
  open.password = ''
  expect((await probeServer(open.href)).state).toBe('stranger')
})

test('is refused to a second relay on the same data folder', async () => {
  await start()
  await expect(startPrivateRedis(options)).rejects.toThrow(`Another relay (process ${process.pid})`)
})

test('is started again on the same port when it dies', async () => {
  const redis = await start()
  await ask(redis.url, (client) => client.set('kept', 'yes'))
  const pid = await readPid(redis.url)
  process.kill(pid, 'SIGKILL')
  await vi.waitUntil(async () => ![0, pid].includes(await readPid(redis.url)), { timeout: 20_000 })
  expect(await ask(redis.url, (client) => client.get('kept'))).toBe('yes')
})

test('outlives a killed relay and is taken over by the next one', async () => {
  const { relay, left } = await startInProcess()
  const pid = await readPid(left.url)
  relay.kill('SIGKILL')
  await new Promise((resolve) => relay.once('exit', resolve))

  const redis = await start()
  expect(redis.adopted).toBe(true)
  expect(redis.url).toBe(left.url)
  expect(await readPid(redis.url)).toBe(pid)

  process.kill(pid, 'SIGKILL')
  await vi.waitUntil(async () => ![0, pid].includes(await readPid(redis.url)), { timeout: 20_000 })
})

test('leaves a stranger alone who took its port after a crash', async () => {
  const first = await start()
  const port = Number(new URL(first.url).port)
  await first.stop()
  running = []
  const stranger = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await new Promise<void>((resolve) => stranger.listen(port, '127.0.0.1', resolve))
  await writeState(join(dir, 'redis'), { port, how: 'redis-server from PATH' })
  try {
    const second = await start()
    expect(second.adopted).toBe(false)
    expect(new URL(second.url).port).not.toBe(String(port))
  } finally {
    stranger.close()
  }
})

test('starts no second server on the data of one that is alive but silent', async () => {
  const { relay, left } = await startInProcess()
  const pid = await readPid(left.url)
  relay.kill('SIGKILL')
  await new Promise((resolve) => relay.once('exit', resolve))
  process.kill(pid, 'SIGSTOP')
  try {
    await expect(startPrivateRedis(options)).rejects.toThrow('alive but does not answer')
  } finally {
    process.kill(pid, 'SIGCONT')
    await start()
  }
})
