import { afterAll, beforeAll, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../infra/sandbox/sandbox.ts'
import type { EndedTerm } from '../../shared/lease.ts'
import { createFastClock } from '../support/fast-clock.ts'
import { startTestWatcher, type TestWatcher } from '../support/watcher.ts'
import { type Serving, startServing } from './serving.ts'

const elections = ['kube-system/kube-scheduler', 'kube-system/kube-controller-manager', 'payments/ledger-leader']

let serving: Serving
let sandbox: Sandbox
let watcher: TestWatcher

beforeAll(async () => {
  const clock = createFastClock(30)
  serving = await startServing()
  sandbox = await createSandbox({ rate: 1, seed: 3, clock })
  watcher = startTestWatcher({
    server: sandbox.url,
    redisUrl: serving.redis.url,
    cluster: 'test',
    resources: 'leases',
    clock,
  })
})

afterAll(async () => {
  await watcher.stop()
  await sandbox.stop()
  await serving.stop()
})

const get = async (path: string) =>
  (await (await fetch(`${serving.url}${path}`)).json()) as { items?: EndedTerm[]; held?: EndedTerm[] }
const readTerms = async (lease: string): Promise<EndedTerm[]> =>
  (await get(`/v1/leases/${lease}/holders?limit=1000`)).items?.toReversed() ?? []

/** One after the other; a holder that comes back after an expiry goes on, to the server. */
function withoutRepeats(holders: readonly string[]): string[] {
  return holders.filter((holder, index) => holder !== '' && holder !== holders[index - 1])
}

/** Who held a Lease, as the server's own history tells. */
function readHistory(lease: string): string[] {
  const versions = sandbox.store
    .history('leases')
    .map(({ object }) => object)
    .filter(({ metadata }) => `${metadata.namespace}/${metadata.name}` === lease)
  return withoutRepeats(versions.map(({ spec }) => String((spec as { holderIdentity?: string }).holderIdentity ?? '')))
}

it('tells over HTTP of elections in a cluster exactly who won them, one after the other', async () => {
  const ended = async () => (await Promise.all(elections.map(readTerms))).flat().filter(({ to }) => to !== undefined)
  await expect.poll(async () => (await ended()).length, { timeout: 60_000, interval: 200 }).toBeGreaterThan(8)
  for (const lease of elections) {
    const terms = await readTerms(lease)
    const told = withoutRepeats(terms.map(({ holder }) => holder))
    expect(readHistory(lease).join()).toContain(told.join())
    for (const [index, term] of terms.entries()) {
      const next = terms[index + 1]
      if (next === undefined) continue
      expect(Date.parse(next.from)).toBeGreaterThanOrEqual(Date.parse(term.to))
      expect(next.began).toMatch(term.ended === 'transferred' ? /transferred/ : /acquired|reacquired|transferred/)
    }
  }
  const [last] = (await ended()).toReversed()
  const { held } = await get(`/v1/holders/${last?.holder}`)
  expect(held).toContainEqual(last)
  expect(`${last?.namespace}/${last?.name}`).toBe(elections.find((lease) => lease.endsWith(`/${last?.name}`)))
}, 90_000)
