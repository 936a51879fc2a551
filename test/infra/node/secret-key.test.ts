import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadSecretKey } from '../../../infra/node/secret-key.ts'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-key-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('makes one key, however many ask for it at once, and keeps it for this user alone', async () => {
  const data = join(folder, 'not', 'there')
  const keys = await Promise.all(Array.from({ length: 30 }, () => loadSecretKey(data)))
  expect(new Set(keys).size).toBe(1)
  expect(keys[0]).toMatch(/^[A-Za-z0-9_-]{43}$/)
  expect(await loadSecretKey(data)).toBe(keys[0])
  expect(await readdir(data)).toEqual(['webhook-secret.key'])
  expect((await stat(join(data, 'webhook-secret.key'))).mode & 0o777).toBe(0o600)
})

test('does not replace a file that holds something else', async () => {
  await writeFile(join(folder, 'webhook-secret.key'), '')
  await expect(loadSecretKey(folder)).rejects.toMatchObject({ exitCode: 2 })
})
