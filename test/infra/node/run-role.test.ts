import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { isAlive } from '../../workers/relay-process.ts'

const patience = { timeout: 20_000, interval: 20 }
let folder: string
let child: ChildProcess | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-role-'))
})

afterEach(async () => {
  child?.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

/** Runs a program that may import from `infra/node`, as a process with a supervisor; waits until that hears from it. */
async function launch(program: string): Promise<ChildProcess> {
  const path = join(folder, 'program.mjs')
  const sources = fileURLToPath(new URL('../../../infra/node', import.meta.url))
  await writeFile(path, program.replaceAll('@/', `${sources}/`))
  child = fork(path, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(child, 'message')
  return child
}

const silent = '{ info() {}, warn() {}, debug() {}, error() {} }'
const forever = 'setInterval(() => {}, 1000)'

it('a role ends when its supervisor is gone, also while it starts', async () => {
  const starting = await launch(`
    import { runRole } from '@/run-role.ts'
    process.send('begins')
    process.exit(await runRole(() => new Promise(() => ${forever}), ${silent}))
  `)
  starting.disconnect()
  expect(await once(starting, 'exit')).toEqual([0, null])
})

it('a role ends when its supervisor was gone before it listened', async () => {
  const late = await launch(`
    import { setTimeout } from 'node:timers/promises'
    import { runRole } from '@/run-role.ts'
    process.send('begins')
    while (process.connected) await setTimeout(10)
    process.exit(await runRole(async () => ({ about: {}, stop: async () => {} }), ${silent}))
  `)
  late.disconnect()
  expect(await once(late, 'exit')).toEqual([0, null])
})

it('what was run again with a newer Node ends when the process that did it was killed', async () => {
  const note = join(folder, 'pid')
  const launcher = await launch(`
    import { writeFileSync } from 'node:fs'
    import { followLauncher, rerunWithNewerNode } from '@/runtime.ts'
    if (process.env.KUBE_WATCH_RELAY_LAUNCHER === undefined) {
      process.send('begins')
      await rerunWithNewerNode('20.0.0')
    } else {
      followLauncher()
      writeFileSync(${JSON.stringify(note)}, String(process.pid))
      ${forever}
    }
  `)
  const readPid = async () => Number(await readFile(note, 'utf8').catch(() => '0'))
  await vi.waitUntil(async () => (await readPid()) > 0, patience)
  const pid = await readPid()
  expect(isAlive(pid)).toBe(true)
  launcher.kill('SIGKILL')
  await vi.waitUntil(() => !isAlive(pid), patience)
})
