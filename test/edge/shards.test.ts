import { expect, test } from 'vitest'
import { describeSubscription, rankShards } from '../../functions/edge/shards.ts'

const keys = Array.from({ length: 10_000 }, (_, i) => `key-${i}`)

test('a key finds the same shard again, and keys are spread evenly', () => {
  const counts = new Map<number, number>()
  for (const key of keys) {
    const [best = -1, ...others] = rankShards(key, 8)
    expect(rankShards(key, 8)[0]).toBe(best)
    expect(new Set([best, ...others]).size).toBe(8)
    counts.set(best, (counts.get(best) ?? 0) + 1)
  }
  for (const count of counts.values()) expect(Math.abs(count - 1_250)).toBeLessThan(200)
})

test('one more shard moves only the keys that it takes', () => {
  for (const key of keys) {
    const [before] = rankShards(key, 8)
    const [after] = rankShards(key, 9)
    expect(after === before || after === 8).toBe(true)
  }
})

test('a subscription is the same wherever it begins and whatever ticket it comes with', () => {
  const describe = (query: string, address = '192.0.2.1') =>
    describeSubscription(new URL(`https://relay.example/v1/events${query}`), address, 'caller')
  expect(describe('?phase=Failed&name=a&from=now&ticket=x')).toBe(describe('?name=a&phase=Failed&from=abc-1'))
  expect(describe('?name=a')).not.toBe(describe('?name=b'))
  expect(describe('')).not.toBe(describe('', '192.0.2.2'))
})
