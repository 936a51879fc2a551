#!/usr/bin/env node
import { Argument, Command, CommanderError, Option } from 'commander'
import { refuseExposure } from '../infra/node/exposure.ts'
import { explainFailure } from '../infra/node/failure.ts'
import { createLogger, ignoreLostTerminal } from '../infra/node/logger.ts'
import { runRole } from '../infra/node/run-role.ts'
import { followLauncher, rerunWithNewerNode } from '../infra/node/runtime.ts'
import { listCaches } from '../infra/redis/find.ts'
import product from '../package.json' with { type: 'json' }
import { renderConfig, renderMarkdown, renderOption, showConfig } from '../shared/config/render.ts'
import {
  type Config,
  findGiven,
  findUnknownVariables,
  type Role,
  type RoleConfig,
  readConfig,
  type Setting,
  settingList,
  settings,
} from '../shared/config.ts'
import { parseConfigured } from '../shared/resource.ts'
import type { Logger, Running } from '../shared/role.ts'
import type { KeysCommand } from './commands/keys.ts'
import { addWebhookCommands } from './commands/webhooks/command.ts'
import { findSources } from './kube/sources.ts'

const { env } = process

type Flags = Readonly<Record<string, unknown>>

/** Loaded when needed: each role has large libraries that the others do without. */
const starters: Record<Exclude<Role, 'up'>, (config: RoleConfig, log: Logger) => Promise<Running>> = {
  watch: async (config, log) => (await import('./commands/watch.ts')).startWatch(config, log),
  serve: async (config, log) => (await import('./commands/serve.ts')).startServing(config, log),
  deliver: async (config, log) => (await import('./commands/deliver.ts')).startDeliver(config, log),
}

const descriptions: Record<Role, string> = {
  up: 'run everything on this machine; without a cluster or a Redis of yours, bring both along',
  watch: 'write what changes in the cluster into the event log',
  serve: 'serve the page, the API and the streams',
  deliver: 'send events to webhooks',
}

function createProgram(done: (code: number) => void): Command {
  const program = new Command('relay')
    .description(product.description)
    .version(product.version)
    .exitOverride()
    .showHelpAfterError('(add --help for what there is)')
  for (const role of ['up', 'watch', 'serve', 'deliver'] as const) {
    const command = program.command(role).description(descriptions[role])
    const own = settingList.map(([, setting]) => setting).filter((setting) => setting.roles.includes(role))
    for (const setting of own) addFlag(command, setting)
    command.action(async (values) => done(await runCommand(role, readFlags(values))))
  }
  addKeys(program, done)
  const config = program
    .command('config')
    .description('show every setting, its value and where that comes from')
    .option('--json', 'as JSON')
    .option('--markdown', 'the table of settings for the README, without values')
  for (const [, setting] of settingList) addFlag(config, setting)
  config.action((values) => {
    const flags = readFlags(values)
    const shown = () => showConfig(loadConfig(flags), env, flags)
    const text = values.markdown
      ? renderMarkdown()
      : values.json
        ? JSON.stringify(shown(), null, 2)
        : renderConfig(shown())
    print(`${text}\n`)
    done(0)
  })
  addRbac(program, done)
  addWebhookCommands(program, { url: env.RELAY_URL ?? 'http://127.0.0.1:8080', token: env.RELAY_TOKEN, print, done })
  return program
}

function addRbac(program: Command, done: (code: number) => void): void {
  const command = program
    .command('rbac')
    .description('print, apply or check the rights in the cluster that watching takes')
    .addArgument(new Argument('<action>', 'what to do about them').choices(['print', 'apply', 'check']))
    .option('--service-account <name>', 'whom to give them to, and how to call the roles', 'kube-watch-relay')
    .option('--namespace <name>', "the service account's namespace", 'kube-watch-relay')
    .option(
      '--no-cluster-identity',
      'leave out reading the namespace kube-system, which tells one cluster from another',
    )
    .option('--dry-run', 'let the cluster check everything, and change nothing')
  for (const setting of [settings.resources, settings.auth, settings.kubeconfig, settings.context]) {
    addFlag(command, setting)
  }
  command.action(async (action, values) => {
    const config = loadConfig(readFlags(values))
    const { runRbac } = await import('./commands/rbac/command.ts')
    const code = await runRbac({
      action,
      resources: parseConfigured(config.resources),
      serviceAccount: values.serviceAccount,
      namespace: values.namespace,
      withIdentity: values.clusterIdentity,
      withReviews: config.auth === 'kubernetes',
      dryRun: values.dryRun === true,
      cluster: findSources(config, env),
      print,
      warn: (text) => process.stderr.write(text),
    })
    done(code)
  })
}

/** `relay keys`: who may read, with RELAY_AUTH=keys. */
function addKeys(program: Command, done: (code: number) => void): void {
  const keys = program.command('keys').description('create, list and revoke API keys, for RELAY_AUTH=keys')
  const add = (command: Command, read: (values: Flags, args: readonly string[]) => KeysCommand) => {
    for (const key of ['redisUrl', 'cluster', 'data', 'kubeconfig', 'context', 'logLevel'] as const) {
      addFlag(command, settings[key])
    }
    command.action(async () => {
      const values = command.opts()
      // Here `--resources` are those of the key.
      const config = loadConfig({ ...readFlags(values), resources: undefined })
      const log = createLogger({
        level: config.logLevel,
        format: 'auto',
        role: 'keys',
        isTerminal: process.stderr.isTTY,
      })
      const [{ completeConfig }, { runKeys }] = await Promise.all([
        import('./commands/up/standalone.ts'),
        import('./commands/keys.ts'),
      ])
      const complete = await completeConfig(config, findSources(config, env))
      print(await runKeys(read(values, command.args), complete, log))
      done(0)
    })
  }
  add(
    keys
      .command('create')
      .description('make a key and show it, once')
      .argument('<tenant>', 'who it is for; webhooks that it registers are theirs')
      .option('--namespaces <list>', 'what it may see, such as shop,team-*', '*')
      .option('--resources <list>', 'such as pods,leases', '*')
      .option('--actions <list>', 'read, webhooks or both', 'read')
      .option('--days <number>', 'ends by itself after so long'),
    ({ namespaces, resources, actions, days }, [tenant = '']) => ({
      do: 'create',
      tenant,
      namespaces: String(namespaces),
      resources: String(resources),
      actions: String(actions),
      ...(days === undefined ? {} : { days: String(days) }),
    }),
  )
  add(keys.command('list').description('list keys, without the keys themselves'), () => ({ do: 'list' }))
  add(
    keys.command('revoke').description('end a key and the streams that it opened').argument('<id>', 'from the list'),
    (_, [id = '']) => ({ do: 'revoke', id }),
  )
}

function addFlag(command: Command, setting: Setting<unknown>): void {
  const isBoolean = setting.type === 'boolean'
  command.option(`--${setting.flag}${isBoolean ? '' : ` <${setting.type}>`}`, renderOption(setting))
  if (isBoolean) command.addOption(new Option(`--no-${setting.flag}`).hideHelp())
}

/** Commander's names (`redisUrl`) back to flags (`redis-url`). */
function readFlags(values: Flags): Flags {
  const toName = (flag: string) => flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
  return Object.fromEntries(settingList.map(([, { flag }]) => [flag, values[toName(flag)]]))
}

function loadConfig(flags: Flags): Config {
  return readConfig(env, flags, { resources: parseConfigured })
}

async function runCommand(role: Role, flags: Flags): Promise<number> {
  const config = loadConfig(flags)
  const log = createLogger({
    level: config.logLevel,
    format: config.logFormat,
    role,
    isTerminal: process.stderr.isTTY === true,
  })
  process.on('uncaughtException', (error) => {
    const explained = explainFailure(error)
    log.error(explained === undefined ? { err: error } : {}, explained ?? 'failed')
    process.exit(explained === undefined ? 1 : 2)
  })
  const sources = findSources(config, env)
  // A supervisor has warned already.
  if (process.send === undefined) for (const warning of findUnknownVariables(env)) log.warn({}, warning)

  if (role === 'up' || role === 'serve') refuseExposure(config)
  if (role !== 'up') {
    return runRole(async () => {
      const isComplete = config.cluster !== undefined && config.redisUrl !== undefined
      const complete = isComplete ? undefined : (await import('./commands/up/standalone.ts')).completeConfig
      const roleConfig = complete === undefined ? config : await complete(config, sources)
      return starters[role](roleConfig as RoleConfig, log)
    }, log)
  }
  const [{ findCluster }, { runUp }] = await Promise.all([
    import('./commands/up/cluster.ts'),
    import('./commands/up/run-up.ts'),
  ])
  return runUp({
    config,
    version: product.version,
    env,
    caches: listCaches(env.XDG_CACHE_HOME, env.HOME, config.data),
    cluster: await findCluster({ ...sources, sandbox: config.sandbox }),
    given: {
      cidrs: findGiven(settings.webhookAllowCidrs, env, flags).source !== 'default',
      http: findGiven(settings.webhookAllowHttp, env, flags).source !== 'default',
    },
    log,
    print,
  })
}

function print(text: string): void {
  process.stdout.write(text)
}

async function main(): Promise<number> {
  ignoreLostTerminal(process.stdout)
  try {
    const rerun = await rerunWithNewerNode()
    if (rerun !== undefined) return rerun
    followLauncher()
    const { promise, resolve } = Promise.withResolvers<number>()
    await createProgram(resolve).parseAsync()
    return await promise
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const explained = explainFailure(error)
    process.stderr.write(
      `${explained === undefined ? String(error instanceof Error ? error.stack : error) : `relay: ${explained}`}\n`,
    )
    return explained === undefined ? 1 : 2
  }
}

process.exit(await main())
