import { createKeys } from '../../shared/keys.ts'
import { nameFeed, nameResource, parseResources } from '../../shared/resource.ts'
import type { KubeObject } from '../../workers/kube/object.ts'
import { createApiServer } from './api-server.ts'
import { type Collection, createCluster, isSelected } from './cluster.ts'
import type { History, HistoryFeed } from './history.ts'
import { createLogNetwork } from './log-connection.ts'
import type { Deed, Plan } from './plan.ts'
import { createRandom } from './random.ts'
import { createScheduler } from './scheduler.ts'
import { createSimulatedLog } from './simulated-log.ts'
import { startSubscriber } from './subscriber.ts'
import { clusterName, startWatcherProcess } from './watcher-process.ts'

/** When simulated time begins: any moment does, as long as it is always the same. */
const beginning = Date.parse('2030-01-01T00:00:00Z')
/** How long a world without faults may take to settle, ms: the longest silence, the longest back-off, and some. */
const patience = 40 * 60_000

/** Plays a plan to its end, lets everything settle, and tells what happened. */
export async function playPlan(plan: Plan, trace?: (line: string) => void): Promise<History> {
  const random = createRandom(plan.seed ^ 0x5eed)
  const scheduler = createScheduler(beginning)
  const cluster = createCluster(scheduler.now)
  const api = createApiServer({ cluster, scheduler, random: random.fork(), abilities: plan.abilities })
  let epochs = 0
  const log = createSimulatedLog({
    now: scheduler.now,
    createEpoch: () => `epoch${++epochs}`,
    retention: plan.retention,
  })
  const network = createLogNetwork({ log, scheduler, random: random.fork() })
  const keys = createKeys(clusterName)
  const faults: string[] = []
  const onFault = (message: string) => faults.push(message)
  const onRejection = (error: unknown) => onFault(error instanceof Error ? (error.stack ?? '') : String(error))
  const say =
    trace === undefined
      ? undefined
      : (line: string) => trace(`${((scheduler.now() - beginning) / 1000).toFixed(3)} ${line}`)
  const feeds = parseResources(plan.resources).map((watched) => ({
    id: nameFeed(watched),
    collection: watched.resource as Collection,
    resource: nameResource(watched),
    watched,
  }))
  process.on('unhandledRejection', onRejection)

  const watchers = Array.from({ length: plan.watchers }, (_, id) =>
    startWatcherProcess({ id, plan, scheduler, random: random.fork(), api, network, keys, onFault, trace: say }),
  )
  const subscribers = plan.subscribers.map((filter) =>
    startSubscriber({ filter, network, keys, scheduler, random: random.fork(), onFault }),
  )
  const skipped = new Map<string, number>()

  /** For each feed, how many restores the log says that it knows of. */
  const noticed = new Map<string, number>()
  let judged = 0

  /**
   * A restore shows in nothing but versions that are older than those before. A cluster that wrote as much again before
   * anybody looked could not be told from one that was never restored, so here nothing is written until every feed has
   * announced the restore, or has had the time to store that it was never beyond it.
   */
  function isWritable(): boolean {
    const restore = cluster.restores.at(-1)
    if (restore === undefined || isFree) return true
    for (; judged < log.deeds.length; judged++) {
      const deed = log.deeds[judged]
      if (deed?.type !== 'append' || deed.at < restore.at) continue
      const announces = deed.batch.operations.some(
        (operation) => operation.op === 'event' && operation.json.includes('"reason":"rewound"'),
      )
      if (announces) noticed.set(deed.feed, cluster.restores.length)
    }
    const isOld = scheduler.now() - restore.at > 120_000 && network.isCalm()
    const isKnown = feeds.every(
      ({ id }) => noticed.get(id) === cluster.restores.length || (isOld && Number(log.cursorOf(id)) <= restore.to),
    )
    // Nor could a log tell that went back to before it knew.
    if (isKnown) log.forgetBackups()
    isFree = isKnown
    return isKnown
  }
  /** Whether the last restore is known everywhere. */
  let isFree = false

  function put(collection: Collection, name: string, edit: (old: KubeObject | undefined) => Partial<KubeObject>): void {
    cluster.put(collection, name, edit)
  }

  function perform(deed: Deed): void {
    say?.(`* ${JSON.stringify(deed)} head ${cluster.head()}`)
    switch (deed.do) {
      case 'pod':
      case 'remove-pod':
      case 'recreate-pod':
      case 'lease':
      case 'remove-lease':
        if (isWritable()) work(deed)
        else skipped.set('held back', (skipped.get('held back') ?? 0) + 1)
        return
      case 'compact':
        cluster.compact(cluster.head())
        break
      case 'restore': {
        const to = Math.max(100, cluster.head() - deed.back)
        if (!isWritable() || to === cluster.head()) return
        skipped.set('restore', (skipped.get('restore') ?? 0) + 1)
        cluster.restore(to)
        isFree = false
        api.goDown(500)
        break
      }
      case 'request-fault':
        api.arm(deed.fault, deed.times)
        break
      case 'watch-fault':
        api.hit(deed.fault, deed.which)
        break
      case 'poison':
        api.poison(cluster.head() + 1, deed.times)
        break
      case 'api-down':
        api.goDown(deed.ms)
        break
      case 'log-fault':
        network.arm(deed.fault, deed.times)
        break
      case 'log-down':
        network.goDown(deed.ms, deed.isRestart)
        break
      case 'log-rewind':
        noticed.clear()
        judged = log.deeds.length
        if (log.rewind(deed.appends)) skipped.set('log-rewind', (skipped.get('log-rewind') ?? 0) + 1)
        network.goDown(200, false)
        break
      case 'crash':
      case 'stop':
      case 'pause':
        skipped.set(deed.do, (skipped.get(deed.do) ?? 0) + 1)
        watchers[deed.watcher]?.[deed.do](deed.ms)
        break
      case 'disconnect':
        skipped.set('disconnect', (skipped.get('disconnect') ?? 0) + 1)
        subscribers[deed.subscriber]?.disconnect(deed.ms)
        break
    }
  }

  function work(deed: Extract<Deed, { name: string }>): void {
    switch (deed.do) {
      case 'pod':
        put('pods', deed.name, () => createPod(deed.phase, deed.app))
        break
      case 'remove-pod':
        cluster.remove('pods', deed.name)
        return
      case 'recreate-pod':
        cluster.remove('pods', deed.name)
        put('pods', deed.name, () => createPod('Pending', 'web'))
        break
      case 'lease':
        put('leases', deed.name, () => createLease(deed.holder, deed.seconds, scheduler.now()))
        break
      case 'remove-lease':
        cluster.remove('leases', deed.name)
    }
  }

  function isSettled(): boolean {
    const isKnown = (feed: (typeof feeds)[number]) => {
      const last = cluster.since(feed.collection, 0).at(-1)
      if (last === undefined) return log.cursorOf(feed.id) !== ''
      const name = last.object.metadata?.name ?? ''
      const stored = log.state.get<KubeObject['metadata']>(feed.resource, 'shop', name)
      return stored?.data?.resourceVersion === String(last.rv)
    }
    return feeds.every(isKnown) && subscribers.every((subscriber) => subscriber.seq() === log.meta().seq)
  }

  try {
    let at = 0
    for (const step of plan.steps) {
      await scheduler.pass(step.at - at)
      at = step.at
      perform(step.deed)
    }
    api.heal()
    network.heal()
    // Whatever was paused or down is up again before the last change; then that one must arrive everywhere.
    await scheduler.pass(45_000)
    let hasEnded = false
    const deadline = scheduler.now() + patience
    while (scheduler.now() < deadline && !(hasEnded && isSettled())) {
      if (!hasEnded && isWritable()) {
        hasEnded = true
        for (const { collection } of feeds) {
          if (collection === 'pods') put('pods', 'last', () => createPod('Running', 'web'))
          else put('leases', 'last', () => createLease('z', 0, scheduler.now()))
        }
      }
      await scheduler.pass(1000, () => hasEnded && isSettled())
    }
    // Time for whatever should not have happened to happen.
    await scheduler.pass(2000)
    await scheduler.pass(60_000, isSettled)
  } catch (error) {
    onFault(error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    process.off('unhandledRejection', onRejection)
  }

  const found = feeds.map(
    (feed): HistoryFeed => ({
      ...feed,
      list: cluster.list(feed.collection).filter((object) => isSelected(object, feed.watched.labelSelector)),
      known: new Map(
        log.state
          .page<object>(feed.resource, { limit: 1_000_000 })
          .objects.map(({ key, data }) => [key, JSON.stringify(data)]),
      ),
      cursor: log.cursorOf(feed.id),
    }),
  )
  return {
    plan,
    versions: cluster.history,
    restores: cluster.restores,
    feeds: found,
    deeds: log.deeds,
    first: log.meta().first,
    subscribers: subscribers.map(({ filter, told, seq }) => ({ filter, told, seq: seq() })),
    isConverged: isSettled(),
    faults,
    exercised: new Map([...api.exercised, ...network.exercised, ...skipped]),
    lasted: scheduler.now() - beginning,
  }
}

function createPod(phase: string, app: string): Partial<KubeObject> {
  const labels: Record<string, string> = app === '' ? {} : { app }
  return {
    metadata: { labels, managedFields: [{ manager: 'kubelet' }] } as KubeObject['metadata'] & object,
    spec: { nodeName: 'node-1', containers: [{ name: 'c', env: [{ name: 'TOKEN', value: 'sécret ✓' }] }] },
    status: { phase },
  }
}

function createLease(holder: string, seconds: number, now: number): Partial<KubeObject> {
  return {
    spec: { holderIdentity: holder, leaseDurationSeconds: seconds, renewTime: new Date(now).toISOString() },
  }
}
