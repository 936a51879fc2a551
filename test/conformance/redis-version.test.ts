import { globSync, readFileSync } from 'node:fs'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

const root = new URL('../../', import.meta.url).pathname
const oldest = '6.2'
const sources = ['shared', 'workers', 'functions'].flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }))

let server: TestRedis
let redis: Redis

beforeAll(async () => {
  server = await startTestRedis()
  redis = new Redis(server.url)
})
afterAll(async () => {
  redis.disconnect()
  await server.stop()
})

/** The commands that scripts and code send, in capitals. */
function findCommands(): string[] {
  const sent = sources.flatMap((file) =>
    [...readFileSync(root + file, 'utf8').matchAll(/\.call\(\s*'([A-Z]+)'/g)].map(([, name]) => name ?? ''),
  )
  return [...new Set(sent)].sort()
}

test(`every command that is sent is known to Redis ${oldest}, the oldest that is supported`, async () => {
  const names = findCommands()
  expect(names).toContain('XADD')
  const docs = (await redis.call('COMMAND', 'DOCS', ...names)) as (string | string[])[]
  const known = new Map<string, string>()
  for (let i = 0; i < docs.length; i += 2) {
    const fields = docs[i + 1] as string[]
    known.set(String(docs[i]).toUpperCase(), fields[fields.indexOf('since') + 1] ?? '')
  }
  const isOld = (name: string) => {
    const [major = 99, minor = 0] = (known.get(name) ?? '').split('.').map(Number)
    return major < 6 || (major === 6 && minor <= 2)
  }
  expect(names.filter((name) => !isOld(name))).toEqual([])
})

test('scripts use nothing of the Lua interface that came after it', () => {
  const later = /redis\.(setresp|acl_check_cmd|REDIS_VERSION|register_function|pcall_async)\b|\bos\.clock\b/
  const scripts = sources.filter((file) => later.test(readFileSync(root + file, 'utf8')))
  expect(scripts).toEqual([])
})
