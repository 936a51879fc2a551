import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { checkRedis } from '../../infra/node/check-redis.ts'
import { connectRedis } from '../../infra/node/connect-redis.ts'
import type { Config } from '../../shared/config.ts'
import { RelayError } from '../../shared/errors.ts'
import { createKeys } from '../../shared/keys.ts'
import { storeResolution } from '../../shared/resolution.ts'
import { nameFeed, nameResource, parseConfigured, type WatchedResource } from '../../shared/resource.ts'
import type { Logger, Running } from '../../shared/role.ts'
import { adviseBoard } from '../kube/advised-board.ts'
import { createKubeClient } from '../kube/client.ts'
import { chooseCluster } from '../kube/config.ts'
import { createResolver } from '../kube/resolver.ts'
import { findSources } from '../kube/sources.ts'
import { createStatusBoard } from '../watcher/status-board.ts'
import { createStore } from '../watcher/store.ts'
import { startSweeping } from '../watcher/sweeping.ts'
import { watchResource } from '../watcher/watcher.ts'

/** How long a stop waits for what is under way to reach the log, ms. */
const flushMs = 5000

/**
 * Starts the watcher: one feed per configured resource. Does not wait for the cluster or for Redis; both are tried for ever.
 * @throws RelayError `invalid` when the configuration names no cluster, or a resource that is none.
 */
export async function startWatch(config: Config, log: Logger): Promise<Running> {
  const resources = parseConfigured(config.resources)
  const choice = chooseCluster(findSources(config, process.env))
  if (choice === undefined) {
    throw new RelayError(
      'invalid',
      'KUBECONFIG: no cluster is configured; name a kubeconfig, or run relay up --sandbox',
    )
  }
  if (config.redisUrl === undefined) throw new RelayError('invalid', 'REDIS_URL: names no Redis server')
  const cluster = config.cluster ?? choice.name
  const redis = connectRedis(config.redisUrl, { log, name: 'watch' })
  await checkRedis(redis, { log, strict: config.strict })
  const client = createKubeClient(choice.config, 'kube-watch-relay')
  const keys = createKeys(cluster)
  const board = adviseBoard(createStatusBoard(redis, keys, log))
  const stopping = new AbortController()
  const owner = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`
  const keep = { keepEntries: config.logEntries, keepBytes: config.logBytes, keepMs: config.logAge }
  const store = createStore({ redis, keys, ...keep })
  const deps = {
    client,
    store,
    cluster,
    owner,
    board,
    log,
    leaseMs: config.takeover,
    leaseRenewals: config.leaseRenewals,
  }
  log.info({ cluster, server: client.server, source: choice.source }, 'watching')
  const resolver = createResolver({ client, log, report: board.report })
  const started = new Set<string>()
  const follow = async (asked: WatchedResource) => {
    const watched = await resolver.resolve(asked, stopping.signal)
    if (watched === undefined) return
    const feed = nameFeed(watched)
    if (feed !== nameFeed(asked)) board.remove(nameFeed(asked))
    storeResolution(redis, keys, asked, watched).catch((error: unknown) =>
      log.debug({ err: error, feed }, 'could not store what the name means'),
    )
    // Two names for one collection would write it twice.
    if (started.has(feed)) return log.warn({ feed, name: asked.resource }, 'RELAY_RESOURCES names this twice')
    started.add(feed)
    board.know(watched)
    await watchResource(watched, deps, stopping.signal)
  }
  const feeds = resources.map(follow)
  const stopSweeping = startSweeping({ redis, keys, keepMs: config.logAge, log })
  let stopped: Promise<void> | undefined
  return {
    about: { cluster, server: client.server, resources: resources.map(nameResource).join(', ') },
    stop() {
      stopped ??= (async () => {
        stopping.abort()
        stopSweeping()
        // Without Redis there is nothing to flush to; its commands would wait for ever.
        await Promise.race([Promise.all(feeds), setTimeout(flushMs, undefined, { ref: false })])
        board.stop()
        redis.disconnect()
        await Promise.all(feeds)
        await client.close()
      })()
      return stopped
    },
  }
}
