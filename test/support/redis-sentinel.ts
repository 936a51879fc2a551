import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Redis } from 'ioredis'
import { findFreePort } from '../../infra/redis/server.ts'
import { findTestProgram, startTestRedis, type TestRedis } from './redis.ts'

/** One master, one replica, and three sentinels that watch over them. */
export interface TestSentinels {
  readonly url: string
  readonly master: TestRedis
  readonly replica: TestRedis
  /** The port of the present master, as the first sentinel knows it. */
  currentPort(): Promise<number>
  stop(): Promise<void>
}

const name = 'relay'
const password = 'sentinel'

/** Starts all of them, and waits until the sentinels know each other and the replica. */
export async function startTestSentinels(): Promise<TestSentinels> {
  const extraArgs = ['--masterauth', password, '--repl-diskless-sync-delay', '0']
  const [master, replica] = await Promise.all([1, 2].map(() => startTestRedis({ password, extraArgs })))
  if (master === undefined || replica === undefined) throw new Error('two servers were started')
  await withClient(replica.url, (client) => client.call('REPLICAOF', '127.0.0.1', master.port))
  const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(master.port)))
  const urls = sentinels.map(({ port }) => `redis://127.0.0.1:${port}`)
  const deadline = Date.now() + 20_000
  const isComplete = async (url: string) => {
    const info = await withClient(url, (client) => client.info('sentinel')).catch(() => '')
    return /status=ok.*slaves=1,sentinels=3/.test(info)
  }
  while (!(await Promise.all(urls.map(isComplete))).every(Boolean)) {
    if (Date.now() > deadline) throw new Error('the sentinels did not find each other')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return {
    url: `redis+sentinel://:${password}@${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${name}`,
    master,
    replica,
    async currentPort() {
      const address = await withClient(urls[0] ?? '', (client) =>
        client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name),
      )
      return Number((address as string[])[1])
    },
    async stop() {
      await Promise.all([...sentinels, master, replica].map((part) => part.stop()))
    },
  }
}

async function startSentinel(masterPort: number): Promise<{ port: number; stop(): Promise<void> }> {
  const program = await findTestProgram()
  const folder = await mkdtemp(join(tmpdir(), 'relay-sentinel-'))
  const port = await findFreePort()
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir "${folder}"`,
    `logfile "${folder}/sentinel.log"`,
    `sentinel monitor ${name} 127.0.0.1 ${masterPort} 2`,
    `sentinel auth-pass ${name} ${password}`,
    `sentinel down-after-milliseconds ${name} 400`,
    `sentinel failover-timeout ${name} 2000`,
  ]
  const configuration = join(folder, 'sentinel.conf')
  await writeFile(configuration, `${lines.join('\n')}\n`)
  const child = spawn(program.path, [configuration, '--sentinel'], {
    stdio: 'ignore',
    env: { LC_ALL: 'C', LD_LIBRARY_PATH: program.libraries.join(delimiter) },
  })
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  return {
    port,
    async stop() {
      await end(child)
      process.removeListener('exit', killNow)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

async function withClient<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { retryStrategy: () => null, maxRetriesPerRequest: 0 })
  client.on('error', () => undefined)
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}
