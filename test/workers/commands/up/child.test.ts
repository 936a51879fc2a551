import { spawn } from 'node:child_process'
import { once } from 'node:events'
import pino from 'pino'
import { afterEach, expect, it, vi } from 'vitest'
import { type SupervisedChild, superviseChild } from '../../../../workers/commands/up/child.ts'

const patience = { timeout: 20_000, interval: 10 }
let supervised: SupervisedChild | undefined

afterEach(async () => {
  await supervised?.stop()
})

/** Supervises processes that each run one of these programs, the last one again and again; `r` on stdout says that one is ready. */
function supervise(...programs: string[]) {
  const lines: { level: number; msg: string }[] = []
  const log = pino({ level: 'info' }, { write: (line) => lines.push(JSON.parse(line)) })
  let runs = 0
  supervised = superviseChild({
    name: 'role',
    log,
    minPause: 10,
    launch() {
      const program = programs[Math.min(runs++, programs.length - 1)] ?? ''
      return spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    },
    async awaitReady(child) {
      if (child.stdout === null) throw new Error('no stdout')
      await once(child.stdout, 'data')
      return { pid: String(child.pid) }
    },
  })
  return { child: supervised, lines, said: () => lines.map(({ msg }) => msg), runs: () => runs }
}

const healthy = `process.stdout.write('r'); setInterval(() => {}, 1000)`

it('says that a role is up again though it had never been ready before it ended', async () => {
  const { child, said } = supervise('process.exit(1)', healthy)
  await child.ready
  await vi.waitUntil(() => said().includes('role is up again'), patience)
  expect(said()).toEqual(['role ended; starting it again', 'role is up again'])
})

it('says nothing of a role that is up for the first time', async () => {
  const { child, said } = supervise(healthy)
  await child.ready
  expect(said()).toEqual([])
})

it('does not start a role again that ends after it was retired, and stops at once then', async () => {
  const { child, lines, runs } = supervise(healthy)
  const { pid } = await child.ready
  child.retire()
  process.kill(Number(pid), 'SIGTERM')
  await child.stop()
  expect(runs()).toBe(1)
  expect(lines).toEqual([])
})

it('takes exit code 2 before it was ready for a refusal that no restart would change', async () => {
  const { child, runs } = supervise('process.exit(2)')
  await expect(child.ready).rejects.toThrow('role refused to start.')
  expect(runs()).toBe(1)
})
