import { expect, it } from 'vitest'
import { createKeys } from '../../../shared/keys.ts'
import { createApiServer } from '../../simulation/api-server.ts'
import { createCluster } from '../../simulation/cluster.ts'
import { createLogNetwork } from '../../simulation/log-connection.ts'
import { drawPlan } from '../../simulation/plan.ts'
import { createRandom } from '../../simulation/random.ts'
import { createScheduler } from '../../simulation/scheduler.ts'
import { createSimulatedLog } from '../../simulation/simulated-log.ts'
import { clusterName, startWatcherProcess } from '../../simulation/watcher-process.ts'

it('a quiet writer notices within seconds that another has its feed, and stands by', async () => {
  const scheduler = createScheduler(0)
  const random = createRandom(1)
  const cluster = createCluster(scheduler.now)
  const abilities = { streamingLists: true, bookmarks: true }
  const api = createApiServer({ cluster, scheduler, random, abilities })
  const log = createSimulatedLog({ now: scheduler.now, createEpoch: () => 'e', retention: { keepEntries: 100 } })
  const lines: string[] = []
  startWatcherProcess({
    id: 0,
    plan: { ...drawPlan(1), resources: 'pods' },
    scheduler,
    random,
    api,
    network: createLogNetwork({ log, scheduler, random }),
    keys: createKeys(clusterName),
    onFault: (message) => lines.push(message),
    trace: (line) => lines.push(line),
  })
  await scheduler.pass(5000)
  const other = log.openWriter('/api/v1/pods', 'pods')
  other.release('1')
  expect(other.claim('other', 60_000)).toMatchObject({ fence: '2' })
  await scheduler.pass(5000)
  expect(lines.filter((line) => line.includes('lost the claim'))).toEqual([expect.stringContaining('"loss":"fenced"')])
  expect(lines.at(-1)).toContain('another watcher writes this feed; standing by {"writer":"other"}')
})
