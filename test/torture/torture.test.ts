import { expect, it } from 'vitest'
import { torture } from './torture.ts'

it('loses and doubles nothing while watchers and Redis are killed, as separate processes', async () => {
  const { failures, kills, fidelity } = await torture({ kills: 10, seed: 11, rate: 200 })
  expect(failures).toEqual([])
  expect(kills).toBeGreaterThanOrEqual(10)
  expect(fidelity.told).toBeGreaterThan(100)
}, 120_000)
