import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { createKeys } from '../../../shared/keys.ts'
import { nameFeed, parseResources, pathOf } from '../../../shared/resource.ts'
import { startTestRedis } from '../../support/redis.ts'
import { readProcessorTime } from '../processor.ts'
import { startChild } from './child.ts'

/** What is sent, and where. */
export interface Race {
  server: string
  /** As in the relay's configuration. */
  resources: string
  frames: number
  lastVersion: number
  /** Lets the frames come. */
  go(): Promise<void>
}

/** How a race went: frames a second, and the µs of processor time that the reading process took for each. */
export interface Score {
  speed: number
  cpu: number
}

/** Reads all frames of a race. */
export type Contender = (race: Race) => Promise<Score>

/** Starts both clocks. */
function startClock(pid: number): (frames: number) => Score {
  const [began, used] = [performance.now(), readProcessorTime(pid)]
  return (frames) => ({
    speed: frames / ((performance.now() - began) / 1000),
    cpu: (readProcessorTime(pid) - used) / frames,
  })
}

function pathIn({ resources }: Race): string {
  const [watched] = parseResources(resources)
  if (watched === undefined) throw new Error(`no resource in "${resources}"`)
  return pathOf(watched)
}

/** The relay's watcher into a Redis of its own; `check` judges what is in it when the cursor has reached the end. */
export function createRelay(
  appendfsync: 'everysec' | 'always',
  check: (redis: Redis, race: Race) => Promise<void>,
): Contender {
  return async (race) => {
    const server = await startTestRedis({ appendfsync })
    const redis = new Redis(server.url)
    const execArgv =
      process.env.BENCH_PROFILE === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${process.env.BENCH_PROFILE}`]
    const child = startChild('watcher.ts', [race.server, server.url, race.resources], execArgv)
    const [watched] = parseResources(race.resources)
    const feed = createKeys('bench').feed(watched === undefined ? '' : nameFeed(watched))
    const reach = async (isThere: (version: number) => boolean) => {
      while (!isThere(Number((await redis.hget(feed, 'rv')) ?? 0))) await Promise.race([sleep(5), child.failed])
    }
    try {
      await reach((version) => version > 0)
      const read = startClock(child.pid)
      await race.go()
      await reach((version) => version === race.lastVersion)
      const score = read(race.frames)
      await check(redis, race)
      return score
    } finally {
      await child.end()
      redis.disconnect()
      await server.stop()
    }
  }
}

/** One of the peers in `peer.ts`. */
export function createPeer(name: 'bare-parse' | 'client-node-informer'): Contender {
  return async (race) => {
    const child = startChild('peer.ts', [name, race.server, pathIn(race), String(race.frames)])
    try {
      // Long enough to be connected; a reader that comes late still gets every frame.
      await sleep(1500)
      const finished = child.hear('finished')
      const read = startClock(child.pid)
      await race.go()
      await finished
      return read(race.frames)
    } finally {
      await child.end()
    }
  }
}

/** So slow that it gets a part of the frames only. */
const kubectlFrames = 1500

/** `kubectl get -w -o json`; rejects with ENOENT where it is not installed. */
export const kubectl: Contender = async (race) => {
  const cache = mkdtempSync(join(tmpdir(), 'bench-kubectl-'))
  const args = ['get', pathIn(race).split('/').at(-1) ?? '', '-A', '-w', '-o', 'json', `--server=${race.server}`]
  const child = spawn('kubectl', [...args, `--cache-dir=${cache}`, '--kubeconfig=/dev/null'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    await Promise.race([sleep(3000), failed(child)])
    const all = countObjects(child, kubectlFrames)
    const read = startClock(child.pid ?? 0)
    await race.go()
    await Promise.race([all, failed(child)])
    return read(kubectlFrames)
  } finally {
    child.kill('SIGKILL')
    rmSync(cache, { recursive: true, force: true })
  }
}

function failed(child: ChildProcess): Promise<never> {
  return new Promise((_, reject) => {
    child.once('error', reject).once('exit', (code) => reject(new Error(`kubectl ended with ${code}`)))
  })
}

/** Resolves when so many indented objects were printed: each ends with a brace at the beginning of a line. */
function countObjects(child: ChildProcess, wanted: number): Promise<void> {
  let seen = 0
  let tail = ''
  return new Promise((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      const text = tail + chunk.toString('latin1')
      for (let at = text.indexOf('\n}\n'); at !== -1; at = text.indexOf('\n}\n', at + 1)) seen++
      tail = text.slice(-2)
      if (seen >= wanted) resolve()
    })
  })
}
