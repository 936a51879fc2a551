import {
  boolean,
  choice,
  cidrs,
  decimal,
  duration,
  integer,
  origins,
  proxyUrl,
  type Role,
  redisUrl,
  type Setting,
  secret,
  size,
  text,
} from './config/setting.ts'
import { suggest } from './config/suggest.ts'

export type { Role, Setting } from './config/setting.ts'

const everywhere: readonly Role[] = ['up', 'watch', 'serve', 'deliver']

/** Every setting of the product. The configuration's type, the help and the README's table come from these rows. */
export const settings = {
  host: text({
    name: 'HOST',
    flag: 'host',
    default: '127.0.0.1',
    allowed: 'an address or a host name of this machine',
    pattern: /^[a-zA-Z0-9.:%_-]+$/,
    meaning: 'Address that the page and the API listen on; 0.0.0.0 for all.',
    roles: ['up', 'serve'],
  }),
  port: integer({
    name: 'PORT',
    flag: 'port',
    default: 8080,
    min: 0,
    max: 65535,
    meaning: 'Port that the page and the API listen on; 0 for any free one.',
    roles: ['up', 'serve'],
  }),
  auth: choice(['none', 'keys', 'jwt', 'kubernetes'], {
    name: 'RELAY_AUTH',
    flag: 'auth',
    default: 'none',
    meaning: 'How callers are known. With none, HOST must be an address of this machine alone.',
    roles: ['up', 'serve'],
  }),
  jwtIssuer: text({
    name: 'RELAY_JWT_ISSUER',
    flag: 'jwt-issuer',
    default: undefined,
    allowed: 'an https:// address (http:// on this machine)',
    pattern: /^(https:\/\/|http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]).*/,
    meaning: 'Whose tokens are taken with RELAY_AUTH=jwt: their `iss`, exactly.',
    roles: ['up', 'serve'],
  }),
  jwtAudience: text({
    name: 'RELAY_JWT_AUDIENCE',
    flag: 'jwt-audience',
    default: undefined,
    defaultMeaning: 'any',
    meaning: 'What the `aud` of a token must name.',
    roles: ['up', 'serve'],
  }),
  jwtKeys: text({
    name: 'RELAY_JWT_JWKS',
    flag: 'jwt-jwks',
    default: undefined,
    defaultMeaning: "what the issuer's OpenID configuration names",
    allowed: 'an https:// address (http:// on this machine)',
    pattern: /^(https:\/\/|http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/]).*/,
    meaning: 'Where the keys are that tokens are signed with.',
    roles: ['up', 'serve'],
  }),
  corsOrigins: origins({
    name: 'RELAY_CORS_ORIGINS',
    flag: 'cors-origins',
    default: [],
    defaultMeaning: 'none',
    meaning: 'Origins of other web pages that may call the API.',
    roles: ['up', 'serve'],
  }),
  redisUrl: redisUrl({
    name: 'REDIS_URL',
    flag: 'redis-url',
    default: undefined,
    defaultMeaning: 'a private server',
    meaning:
      'The Redis or Valkey server (6.2 or newer) that holds the event log; redis+cluster:// or redis+sentinel:// for several.',
    roles: everywhere,
  }),
  kubeconfig: text({
    name: 'KUBECONFIG',
    flag: 'kubeconfig',
    default: undefined,
    defaultMeaning: 'in-cluster credentials, else ~/.kube/config, else the sandbox',
    allowed: 'paths of kubeconfig files, separated as in PATH',
    meaning: 'How to reach the Kubernetes cluster.',
    roles: everywhere,
  }),
  context: text({
    name: 'RELAY_CONTEXT',
    flag: 'context',
    default: undefined,
    defaultMeaning: 'the current context',
    allowed: 'the name of a context in the kubeconfig',
    meaning: 'Which context of the kubeconfig to use.',
    roles: everywhere,
  }),
  sandbox: boolean({
    name: 'RELAY_SANDBOX',
    flag: 'sandbox',
    default: false,
    meaning: 'Use the sandbox cluster, even where there is a real one.',
    roles: ['up'],
  }),
  sandboxRate: decimal({
    name: 'RELAY_SANDBOX_RATE',
    flag: 'sandbox-rate',
    default: 5,
    min: 0,
    max: 100_000,
    unit: 'events per second',
    meaning: 'How much happens in the sandbox cluster.',
    roles: ['up'],
  }),
  sandboxSeed: integer({
    name: 'RELAY_SANDBOX_SEED',
    flag: 'sandbox-seed',
    default: undefined,
    defaultMeaning: 'random',
    min: 0,
    max: 0xffff_ffff,
    meaning: 'Repeats what happened in the sandbox cluster of an earlier run.',
    roles: ['up'],
  }),
  cluster: text({
    name: 'RELAY_CLUSTER',
    flag: 'cluster',
    default: undefined,
    defaultMeaning: "sandbox, or the kubeconfig context's name",
    allowed: 'a-z, 0-9 and -, 1 to 63 characters',
    pattern: /^[a-z0-9-]{1,63}$/,
    meaning: "The cluster's name in events. The same for all roles of one log.",
    roles: everywhere,
  }),
  resources: text({
    name: 'RELAY_RESOURCES',
    flag: 'resources',
    default: 'pods,leases',
    allowed: 'resources such as pods,leases, separated by commas',
    meaning:
      'What to watch. After "?": namespace, labelSelector, fieldSelector; object=full puts whole objects into events, ' +
      'with values redacted unless named by reveal=env,annotations,commands,credentials,data,headers,messages,volumes.',
    roles: ['up', 'watch', 'serve'],
  }),
  leaseRenewals: choice(['state', 'log'], {
    name: 'RELAY_LEASE_RENEWALS',
    flag: 'lease-renewals',
    default: 'state',
    meaning: 'Where renewals of Leases go: only into the current state, or into the log as well, each as an event.',
    roles: ['up', 'watch'],
  }),
  data: text({
    name: 'RELAY_DATA',
    flag: 'data',
    default: '.relay',
    allowed: 'a folder',
    meaning: 'Folder of the private Redis server and of what else must survive a restart.',
    roles: everywhere,
  }),
  webhookAllowCidrs: cidrs({
    name: 'WEBHOOK_ALLOW_CIDRS',
    flag: 'webhook-allow-cidrs',
    default: [],
    defaultMeaning: 'none; on the sandbox 127.0.0.0/8,::1/128',
    meaning: 'Private address ranges that webhooks may be sent to.',
    roles: ['up', 'serve', 'deliver'],
  }),
  webhookAllowHttp: boolean({
    name: 'WEBHOOK_ALLOW_HTTP',
    flag: 'webhook-allow-http',
    default: false,
    defaultMeaning: 'false; on the sandbox true',
    meaning: 'Accept webhook addresses without TLS.',
    roles: ['up', 'serve', 'deliver'],
  }),
  webhookProxy: proxyUrl({
    name: 'WEBHOOK_PROXY',
    flag: 'webhook-proxy',
    default: undefined,
    defaultMeaning: 'none',
    meaning:
      'HTTP proxy that webhooks are sent through. It is asked to CONNECT to addresses that were checked, never to names.',
    roles: ['up', 'deliver'],
  }),
  webhookSecretKey: secret({
    name: 'WEBHOOK_SECRET_KEY',
    flag: 'webhook-secret-key',
    default: undefined,
    defaultMeaning: 'made once, kept in the data folder',
    allowed: '32 bytes in base64url (43 characters)',
    pattern: /^[A-Za-z0-9_-]{43}$/,
    meaning: 'Key that encrypts the secrets of webhooks in Redis. The same for serve and deliver.',
    roles: ['up', 'serve', 'deliver'],
  }),
  webhookDisableAfter: duration({
    name: 'WEBHOOK_DISABLE_AFTER',
    flag: 'webhook-disable-after',
    default: 5 * 86_400_000,
    min: 60_000,
    max: 365 * 86_400_000,
    meaning: 'How long a webhook may take nothing before it is turned off.',
    roles: ['up', 'deliver'],
  }),
  logEntries: integer({
    name: 'RELAY_LOG_ENTRIES',
    flag: 'log-entries',
    default: 200_000,
    min: 1_000,
    max: 1_000_000_000,
    unit: 'events',
    meaning: 'How many events the log keeps for replay.',
    roles: ['up', 'watch'],
  }),
  logBytes: size({
    name: 'RELAY_LOG_BYTES',
    flag: 'log-bytes',
    default: 512 * 2 ** 20,
    min: 2 ** 20,
    max: 2 ** 40,
    meaning: 'How much the log keeps for replay, in JSON of events.',
    roles: ['up', 'watch'],
  }),
  logAge: duration({
    name: 'RELAY_LOG_AGE',
    flag: 'log-age',
    default: 7 * 86_400_000,
    min: 60_000,
    max: 3650 * 86_400_000,
    meaning: 'How long the log keeps events for replay.',
    roles: ['up', 'watch'],
  }),
  takeover: duration({
    name: 'RELAY_TAKEOVER',
    flag: 'takeover',
    default: 10_000,
    min: 1000,
    max: 300_000,
    meaning: 'How long after the death of a watcher another one takes over.',
    roles: ['up', 'watch'],
  }),
  logLevel: choice(['trace', 'debug', 'info', 'warn', 'error'], {
    name: 'LOG_LEVEL',
    flag: 'log-level',
    default: 'info',
    meaning: 'The least important lines to write to stderr.',
    roles: everywhere,
  }),
  logFormat: choice(['auto', 'json', 'pretty'], {
    name: 'LOG_FORMAT',
    flag: 'log-format',
    default: 'auto',
    meaning: 'How lines on stderr look; auto is pretty on a terminal and JSON elsewhere.',
    roles: everywhere,
  }),
  strict: boolean({
    name: 'RELAY_STRICT',
    flag: 'strict',
    default: false,
    meaning: 'Refuse to start where a setting would only be warned about, such as an unknown RELAY_* variable.',
    roles: everywhere,
  }),
}

type Settings = typeof settings
export type ConfigKey = keyof Settings

/** The effective value of every setting. */
export type Config = { readonly [K in ConfigKey]: Settings[K] extends Setting<infer T> ? T : never }

/** What a role is started with: the cluster's name and the Redis server are known by then. */
export type RoleConfig = Config & { readonly cluster: string; readonly redisUrl: string }

/** Where a value comes from. */
export type Source = 'flag' | 'environment' | 'default'

/** The table without the types of its values, for loops over it. */
export const settingList = Object.entries(settings) as readonly (readonly [key: ConfigKey, setting: Setting<unknown>])[]

/** Wrong values, all of them. The process exits with 2. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly exitCode = 2
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** A further check of a value; throws an Error that says what is wrong. */
export type Check = (value: string) => unknown

/**
 * Reads the configuration. A flag wins over the environment; an empty text counts as not set.
 *
 * @param env environment variables by name
 * @param flags values by flag (`redis-url`), undefined where not given
 * @param checks parsers that live elsewhere, by key
 * @throws ConfigError that names every wrong value, its source and what is allowed
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Record<string, unknown>> = {},
  checks: { readonly [K in ConfigKey]?: Check } = {},
): Config {
  const problems: string[] = []
  const entries = settingList.map(([key, setting]) => {
    const { source, text: given } = findGiven(setting, env, flags)
    if (given === undefined) return [key, setting.default]
    const from = source === 'flag' ? `--${setting.flag}` : `environment variable ${setting.name}`
    const shown = JSON.stringify(setting.mask?.(given) ?? given)
    const value = setting.read(given)
    if (value === undefined) {
      problems.push(`${setting.name}: ${shown} (${from}) is not allowed. Allowed: ${setting.allowed}.`)
    } else {
      const complaint = complain(checks[key], given)
      if (complaint !== undefined)
        problems.push(
          `${setting.name}: ${shown} (${from}) is not allowed. ${complaint.replace(`${setting.name}: `, '')}`,
        )
    }
    return [key, value]
  })
  const config: Config = Object.freeze(Object.fromEntries(entries))
  if (config.strict) problems.push(...findUnknownVariables(env))
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Which source a setting's value comes from, and its text there. */
export function findGiven(
  setting: Setting<unknown>,
  env: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Record<string, unknown>>,
): { readonly source: Source; readonly text?: string } {
  const flag = flags[setting.flag]
  if (flag !== undefined && flag !== '') return { source: 'flag', text: String(flag) }
  const variable = env[setting.name]?.trim()
  return variable ? { source: 'environment', text: variable } : { source: 'default' }
}

/** What `relay webhooks` reads: where the API is, and what to show it. */
const clientNames = ['RELAY_URL', 'RELAY_TOKEN']

/** One warning for each RELAY_* variable that is no setting. */
export function findUnknownVariables(env: Readonly<Record<string, string | undefined>>): string[] {
  const names = settingList.map(([, setting]) => setting.name)
  return Object.entries(env)
    .filter(
      ([name, value]) =>
        name.startsWith('RELAY_') && ![...names, ...clientNames].includes(name) && !isServiceVariable(name, value),
    )
    .map(([name]) => `${name} is not a setting.${suggest(name, names)}`)
}

/** The environment that `readConfig` would read this configuration from. */
export function toEnvironment(config: Config): Record<string, string> {
  return Object.fromEntries(
    settingList
      .map(([key, setting]) => [setting.name, config[key] === undefined ? '' : setting.write(config[key])] as const)
      .filter(([, value]) => value !== ''),
  )
}

function complain(check: Check | undefined, value: string): string | undefined {
  try {
    check?.(value)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Kubernetes gives a Pod such variables for every Service, one named `relay` included. */
function isServiceVariable(name: string, value: string | undefined): boolean {
  return /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)/.test(name) || /^(tcp|udp|sctp):\/\//.test(value ?? '')
}
