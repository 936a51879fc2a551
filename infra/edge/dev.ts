// `npm run dev:edge`: everything that `npm start` runs, and the Worker beside it, over the same Redis.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { loadSecretKey } from '../node/secret-key.ts'
import { findServer, serverFolder } from '../redis/state.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const data = process.env.RELAY_DATA ?? '.relay'
const { values } = parseArgs({ options: { port: { type: 'string', default: '8787' } } })
const url = `http://127.0.0.1:${values.port}`

const children: ChildProcess[] = []
let isEnding = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, end)

const relay = run('node', ['workers/relay.ts', 'up', '--sandbox', '--port', '0'], 'pipe')
const banner = await readBanner(relay)
// Wrangler would look for it beside its configuration.
const variables = resolve(data, 'edge.env')
await writeFile(variables, await describeBindings(), { mode: 0o600 })
const options = ['--config', 'infra/wrangler.jsonc', '--env', '', '--env-file', variables]
run('wrangler', ['dev', ...options, '--ip', '127.0.0.1', '--port', values.port, '--log-level', 'warn'], 'inherit')
if (await answers()) {
  const onNode = /http:\/\/[^/\s]+/.exec(banner)?.[0] ?? ''
  process.stdout.write(banner.replaceAll(onNode, url).replace('  Cluster', `  On Node   ${onNode}/\n  Cluster`))
}

/** Starts a program that ends with this one, and this one with it. */
function run(program: string, args: readonly string[], stdout: 'pipe' | 'inherit'): ChildProcess {
  const programs = join(root, 'node_modules', '.bin')
  const env = { ...process.env, PATH: [programs, process.env.PATH].join(delimiter) }
  const child = spawn(join(programs, program), args, { cwd: root, env, stdio: ['ignore', stdout, 2] })
  child.once('exit', (code) => {
    if (!isEnding) process.exitCode = code ?? 1
    end()
  })
  children.push(child)
  return child
}

/** A terminal has told the children already; whoever else ends this process has not. */
function end(): void {
  if (isEnding) return
  isEnding = true
  for (const child of children) child.kill('SIGTERM')
}

/** What `relay up` prints when everything runs. */
async function readBanner({ stdout }: ChildProcess): Promise<string> {
  let text = ''
  while (!text.includes('Ctrl-C')) {
    const [chunk] = await once(stdout ?? process.stdin, 'data')
    text += String(chunk)
  }
  return text
}

/** Settings and secrets of the sandbox, as the roles beside have them. */
async function describeBindings(): Promise<string> {
  const redisUrl = process.env.REDIS_URL ?? (await findServer(serverFolder(data)))?.url ?? ''
  const bindings = {
    RELAY_CLUSTER: process.env.RELAY_CLUSTER ?? 'sandbox',
    REDIS_URL: redisUrl,
    WEBHOOK_SECRET_KEY: process.env.WEBHOOK_SECRET_KEY ?? (await loadSecretKey(data)),
    WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8,::1/128',
    WEBHOOK_ALLOW_HTTP: 'true',
  }
  return Object.entries(bindings)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}\n`)
    .join('')
}

/** Waits until the Worker answers, and says once why it does not; false when it never will. */
async function answers(): Promise<boolean> {
  let said = ''
  while (!isEnding) {
    const response = await fetch(`${url}/healthz`).catch(() => undefined)
    if (response?.ok) return true
    const reason = (await response?.text()) ?? ''
    if (reason !== said) process.stderr.write(`The Worker answers ${response?.status}: ${reason}\n`)
    said = reason
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  return false
}
