import { expect, expectTypeOf, test } from 'vitest'
import { renderConfig, renderMarkdown, showConfig } from '../../shared/config/render.ts'
import {
  type Config,
  ConfigError,
  findUnknownVariables,
  readConfig,
  settingList,
  toEnvironment,
} from '../../shared/config.ts'

function problemsOf(...parameters: Parameters<typeof readConfig>): readonly string[] {
  try {
    readConfig(...parameters)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

test('has a default for everything that a first run needs', () => {
  const config = readConfig({})
  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 8080,
    data: '.relay',
    resources: 'pods,leases',
    sandbox: false,
  })
  expect(config.redisUrl).toBeUndefined()
  expect(Object.isFrozen(config)).toBe(true)
})

test('types every value by its row', () => {
  expectTypeOf<Config['port']>().toEqualTypeOf<number>()
  expectTypeOf<Config['redisUrl']>().toEqualTypeOf<string | undefined>()
  expectTypeOf<Config['sandboxSeed']>().toEqualTypeOf<number | undefined>()
  expectTypeOf<Config['webhookAllowCidrs']>().toEqualTypeOf<readonly string[]>()
  expectTypeOf<Config['logLevel']>().toEqualTypeOf<'trace' | 'debug' | 'info' | 'warn' | 'error'>()
})

test('lets a flag win over the environment, and takes an empty text for not set', () => {
  expect(readConfig({ PORT: '1' }, { port: '2' }).port).toBe(2)
  expect(readConfig({ PORT: '1' }, { port: '' }).port).toBe(1)
  expect(readConfig({ PORT: ' ' }, {}).port).toBe(8080)
  expect(readConfig({ RELAY_SANDBOX: 'true' }, { sandbox: false }).sandbox).toBe(false)
})

test('names a wrong value, its source and what is allowed', () => {
  expect(problemsOf({}, { port: '99999' })).toEqual([
    'PORT: "99999" (--port) is not allowed. Allowed: an integer from 0 to 65535.',
  ])
  expect(problemsOf({ PORT: '80a' })).toEqual([
    'PORT: "80a" (environment variable PORT) is not allowed. Allowed: an integer from 0 to 65535.',
  ])
})

test('reports several wrong values together', () => {
  expect(problemsOf({ PORT: '-1', LOG_LEVEL: 'loud', RELAY_CLUSTER: 'Prod!', RELAY_SANDBOX: 'maybe' })).toHaveLength(4)
})

test.each([
  ['HOST', ['0.0.0.0', '::1', 'localhost'], ['a b', 'http://x']],
  ['PORT', ['0', '65535'], ['65536', '1.5', '-1', '1e3', '0x10']],
  ['WEBHOOK_PROXY', ['http://p:3128', 'https://u:p@p/'], ['p:3128', 'socks5://p', 'http://p/path', 'http://p?x']],
  ['REDIS_URL', ['redis://h', 'rediss://u:p@h:1/2'], ['h:6379', 'http://h', 'redis:']],
  ['RELAY_CLUSTER', ['prod-1', 'a'.repeat(63)], ['Prod', 'a_b', 'a'.repeat(64)]],
  ['RELAY_SANDBOX_RATE', ['0', '0.5', '1000'], ['-1', 'fast', '1000000']],
  ['WEBHOOK_ALLOW_CIDRS', ['10.0.0.0/8, ::1/128'], ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/8,']],
  ['RELAY_TAKEOVER', ['1s', '5m'], ['0s', '1h', 'soon']],
  ['RELAY_LOG_ENTRIES', ['1000'], ['10', '1e9']],
  ['LOG_FORMAT', ['auto', 'json', 'pretty'], ['JSON', 'text']],
])('checks %s', (name, allowed, refused) => {
  for (const value of allowed) expect(problemsOf({ [name]: value })).toEqual([])
  for (const value of refused) expect(problemsOf({ [name]: value })).toHaveLength(1)
})

test('never shows a password', () => {
  const secrets = [
    'redis://:s3cret@host:6379',
    'redis://user:s3cret@host',
    'http://:s3cret@host',
    ':s3cret@host',
    'redis://h?password=s3cret',
  ]
  for (const value of secrets) {
    const env = { REDIS_URL: value }
    expect(problemsOf(env).join()).not.toContain('s3cret')
    if (problemsOf(env).length === 0)
      expect(JSON.stringify(showConfig(readConfig(env), env, {}))).not.toContain('s3cret')
  }
})

test('hands a value to a parser that lives elsewhere', () => {
  const checks = {
    resources() {
      throw new Error('"pots" is no resource.')
    },
  }
  expect(problemsOf({ RELAY_RESOURCES: 'pots' }, {}, checks)).toEqual([
    'RELAY_RESOURCES: "pots" (environment variable RELAY_RESOURCES) is not allowed. "pots" is no resource.',
  ])
})

test('warns of unknown RELAY_ variables, and refuses them when strict', () => {
  const env = { RELAY_CLUSTR: 'a', RELAY_DATA: 'b', OTHER: 'c' }
  expect(findUnknownVariables(env)).toEqual(['RELAY_CLUSTR is not a setting. Did you mean RELAY_CLUSTER?'])
  expect(problemsOf(env)).toEqual([])
  expect(problemsOf({ ...env, RELAY_STRICT: 'true' })).toHaveLength(1)
})

test('does not mistake the variables that Kubernetes sets for a Service named relay', () => {
  const env = {
    RELAY_SERVICE_HOST: '10.0.0.1',
    RELAY_SERVICE_PORT_HTTP: '80',
    RELAY_PORT: 'tcp://10.0.0.1:80',
    RELAY_PORT_80_TCP_ADDR: '10.0.0.1',
  }
  expect(findUnknownVariables(env)).toEqual([])
})

test('survives the way through the environment of a child process', () => {
  const config = readConfig({
    WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8,::1/128',
    PORT: '0',
    REDIS_URL: 'redis://:p@h',
    RELAY_SANDBOX: '1',
  })
  expect(readConfig(toEnvironment(config))).toEqual(config)
  expect(readConfig(toEnvironment(readConfig({})))).toEqual(readConfig({}))
})

test('shows every setting with its source, for people and as Markdown', () => {
  const env = { PORT: '81' }
  const flags = { host: '::1' }
  const shown = showConfig(readConfig(env, flags), env, flags)
  expect(shown).toHaveLength(settingList.length)
  expect(shown).toContainEqual(
    expect.objectContaining({ name: 'PORT', value: '81', source: 'environment', default: '8080' }),
  )
  expect(shown).toContainEqual(expect.objectContaining({ name: 'HOST', value: '::1', source: 'flag' }))
  expect(renderConfig(shown)).toMatch(/^PORT +81 +environment +8080 +Port that/m)
  expect(renderMarkdown()).toContain('| `PORT` | `--port` | integer | `8080` |')
})
