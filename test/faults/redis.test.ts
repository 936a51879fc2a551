import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { setStage } from './stage.ts'

const stage = setStage()
const set = (name: string, value: string) => stage.redis.config('SET', name, value)

describe('a Redis that fails for a while', () => {
  it.each<[string, () => Promise<unknown>, () => Promise<unknown>]>([
    ['is out of memory', () => set('maxmemory', '1'), () => set('maxmemory', '0')],
    ['has lost its replicas', () => set('min-replicas-to-write', '1'), () => set('min-replicas-to-write', '0')],
    ['forgets its scripts', () => stage.redis.script('FLUSH'), () => stage.redis.script('FLUSH')],
    ['hangs', () => stage.server.kill('SIGSTOP'), () => stage.server.kill('SIGCONT')],
    ['dies', () => stage.server.kill('SIGKILL'), () => stage.server.restart()],
  ])('%s: what happened meanwhile is in the log afterwards, once', async (_, fail, heal) => {
    await stage.watch(stage.sandbox.url)
    await stage.stir(20)
    for (let round = 0; round < 2; round++) {
      await fail()
      try {
        await stage.stir(20)
        await sleep(300)
      } finally {
        await heal()
      }
      await stage.stir(20)
    }
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })
})
