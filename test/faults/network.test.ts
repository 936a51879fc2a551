import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.ts'
import { setStage } from './stage.ts'

const stage = setStage()
const stir = stage.stir

type Trouble = (proxy: FaultProxy) => Promise<void>

const troubles: [string, Trouble][] = [
  [
    'delays everything',
    async (proxy) => {
      await proxy.set({ delayMs: 15 })
      await stir(30)
    },
  ],
  [
    'passes on byte by byte',
    async (proxy) => {
      await proxy.set({ sliceBytes: 1 })
      await stir(15)
    },
  ],
  [
    'is slow',
    async (proxy) => {
      await proxy.set({ bytesPerSecond: 30_000 })
      await stir(20)
      await sleep(500)
    },
  ],
  [
    'resets connections again and again',
    async (proxy) => {
      for (let round = 0; round < 10; round++) {
        await stir(8)
        await sleep(round * 3)
        proxy.reset()
      }
    },
  ],
  [
    'resets connections in the middle of what they carry',
    async (proxy) => {
      await proxy.set({ sliceBytes: 100, delayMs: 2 })
      for (let round = 0; round < 6; round++) {
        await stir(8)
        await sleep(20 + round * 7)
        proxy.reset()
      }
    },
  ],
  [
    'refuses connections for a while',
    async (proxy) => {
      await proxy.set({ refuse: true })
      proxy.reset()
      await stir(20)
      await sleep(200)
    },
  ],
  [
    'closes one direction',
    async (proxy) => {
      for (let round = 0; round < 4; round++) {
        await stir(8)
        proxy.halfClose()
        await sleep(30)
      }
    },
  ],
  [
    'swallows everything for a while',
    async (proxy) => {
      await proxy.set({ blackhole: true })
      await stir(20)
      await sleep(300)
    },
  ],
]

describe.each(['the API server', 'Redis'] as const)('a network between the watcher and %s', (side) => {
  it.each(troubles)('that %s: nothing is lost, doubled or out of order', async (_, trouble) => {
    const isApi = side === 'the API server'
    const proxy = await startFaultProxy(isApi ? stage.sandbox.url : stage.server.url)
    stage.onEnd(() => proxy.stop())
    const [api, redisUrl] = isApi ? [proxy.url, stage.server.url] : [stage.sandbox.url, proxy.url]
    await stage.watch(api, { redisUrl, leastTimeoutSeconds: 30 })
    await stir(10)
    await trouble(proxy)
    await proxy.heal()
    await stir(10)
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })

  it('that goes bad in every way in turn', async () => {
    const isApi = side === 'the API server'
    const proxy = await startFaultProxy(isApi ? stage.sandbox.url : stage.server.url)
    stage.onEnd(() => proxy.stop())
    const [api, redisUrl] = isApi ? [proxy.url, stage.server.url] : [stage.sandbox.url, proxy.url]
    await stage.watch(api, { redisUrl, leastTimeoutSeconds: 30 })
    for (const [, trouble] of troubles.toReversed()) {
      await trouble(proxy)
      await proxy.heal()
    }
    expect(await stage.verify()).toMatchObject({ gaps: [] })
  })
})
