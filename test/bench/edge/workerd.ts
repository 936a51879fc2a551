import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { findFreePort } from '../../../infra/redis/server.ts'
import type { RelayServer } from '../fanout/contenders.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const { default: program } = createRequire(`${root}node_modules/wrangler/package.json`)('workerd') as {
  default: string
}

/**
 * The Worker as it is deployed, in a workerd of its own with nothing before it; `startedIn` is how long that took until the
 * first answer, in ms, and `inspector` where its inspector listens.
 */
export async function startOnWorkerd(
  redisUrl: string,
  { isInspected = false } = {},
): Promise<RelayServer & { startedIn: number; inspector: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'relay-workerd-'))
  const port = await findFreePort()
  await bundle(folder)
  await writeFile(join(folder, 'config.capnp'), configure(port, redisUrl))
  const begin = performance.now()
  const inspector = `127.0.0.1:${await findFreePort()}`
  const args = ['serve', 'config.capnp', ...(isInspected ? [`--inspector-addr=${inspector}`] : [])]
  const child = spawn(program, args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  await answers(port)
  const startedIn = performance.now() - begin
  return {
    port,
    startedIn,
    inspector,
    async memory() {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024
    },
    async stop() {
      killNow()
      await exited
      process.removeListener('exit', killNow)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function bundle(folder: string): Promise<void> {
  const wrangler = join(root, 'node_modules', '.bin', 'wrangler')
  const args = ['deploy', '--dry-run', '--config', 'infra/wrangler.jsonc', '--env', '', '--outdir', folder]
  await promisify(execFile)(wrangler, args, { cwd: root })
}

function configure(port: number, redisUrl: string): string {
  const texts = { RELAY_CLUSTER: 'bench', RELAY_RESOURCES: 'pods', RELAY_AUTH: 'none', REDIS_URL: redisUrl }
  const network = { WEBHOOK_ALLOW_CIDRS: '127.0.0.0/8', WEBHOOK_ALLOW_HTTP: 'true', WEBHOOK_SECRET_KEY: 'k'.repeat(43) }
  const bindings = Object.entries({ ...texts, ...network, LOG_LEVEL: 'warn' })
    .map(([name, text]) => `    (name = "${name}", text = ${JSON.stringify(text)}),`)
    .join('\n')
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = "2026-11-17",
  compatibilityFlags = ["no_web_socket_compression"],
  bindings = [
${bindings}
    (name = "HUB", durableObjectNamespace = "RelayHub"),
  ],
  durableObjectNamespaces = [(className = "RelayHub", uniqueKey = "hub", enableSql = true)],
  durableObjectStorage = (inMemory = void),
);
`
}

async function answers(port: number): Promise<void> {
  const end = Date.now() + 20_000
  for (;;) {
    try {
      if ((await fetch(`http://127.0.0.1:${port}/healthz`)).ok) return
    } catch (error) {
      if (Date.now() > end) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
