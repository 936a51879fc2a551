import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { renderMarkdown } from '../../../shared/config/render.ts'
import { settingList } from '../../../shared/config.ts'
import { runRelay } from '../relay-process.ts'

let data: string

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'relay-command-'))
})

afterAll(() => rm(data, { recursive: true, force: true }))

test.each(['up', 'watch', 'serve', 'deliver'] as const)('explains every flag of relay %s', async (role) => {
  const { code, stdout } = await runRelay([role, '--help'])
  expect(code).toBe(0)
  for (const [, setting] of settingList) {
    expect(stdout.includes(`  --${setting.flag} `), setting.flag).toBe(setting.roles.includes(role))
  }
})

test('tells its version', async () => {
  const { code, stdout } = await runRelay(['--version'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: '0.1.0\n' })
})

test.each([
  [['upp'], "unknown command 'upp'", 'Did you mean up?'],
  [['up', '--prt', '1'], "unknown option '--prt'", 'Did you mean --port?'],
  [['up', 'now'], "too many arguments for 'up'", ''],
  [['up', '--port', 'x'], 'PORT: "x" (--port) is not allowed. Allowed: an integer from 0 to 65535.', ''],
  [['watch', '--resources', 'Pots'], 'RELAY_RESOURCES: "Pots" (--resources) is not allowed.', ''],
  [['watch', '--strict'], 'RELAY_CLUSTR is not a setting.', 'Did you mean RELAY_CLUSTER?'],
  [['up', '--kubeconfig', '/nonexistent/config'], 'KUBECONFIG: cannot read /nonexistent/config', ''],
  [['serve', '--redis-url', 'redis://h'], 'RELAY_CLUSTER: not set', 'Set it to one name for all roles'],
])('refuses %j with exit code 2', async (args, problem, hint) => {
  const { code, stdout, stderr } = await runRelay(args, { RELAY_DATA: data, RELAY_CLUSTR: 'a' })
  expect(stderr).toContain(problem)
  expect(stderr).toContain(hint)
  expect(stderr).not.toContain('    at ')
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
})

test.each(['watch', 'serve', 'deliver'])('says what relay %s needs where no Redis is given or runs', async (role) => {
  const { code, stderr } = await runRelay([role], { RELAY_DATA: data })
  expect(stderr).toContain(`REDIS_URL: not set, and no private Redis server runs on ${data}.`)
  expect(stderr).toContain('start `relay up` on this folder first')
  expect(code).toBe(2)
})

test('names PORT when the port is taken', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const address = taken.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { code, stderr } = await runRelay(['up', '--port', String(port)], { RELAY_DATA: data })
  taken.close()
  expect(stderr).toContain(`PORT: ${port} on 127.0.0.1 is taken by another program.`)
  expect(code).toBe(2)
})

test('shows the configuration as a table, as JSON and as Markdown, without secrets', async () => {
  const env = { REDIS_URL: 'redis://:s3cret@h', PORT: '81' }
  const table = await runRelay(['config', '--host', '::1'], env)
  expect(table.stdout).toMatch(/^HOST +::1 +flag /m)
  expect(table.stdout).toMatch(/^PORT +81 +environment +8080 /m)
  expect(table.stdout).not.toContain('s3cret')
  const json = JSON.parse((await runRelay(['config', '--json'], env)).stdout)
  expect(json).toContainEqual(expect.objectContaining({ name: 'REDIS_URL', value: 'redis://***@h' }))
  expect((await runRelay(['config', '--markdown'], env)).stdout).toBe(`${renderMarkdown()}\n`)
})
