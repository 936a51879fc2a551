import { isSettled, nameFeed, nameKind, type WatchedResource } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { type Clock, sleep, systemClock } from '../clock.ts'
import type { KubeClient } from './client.ts'
import { DiscoveryRefused, discover, type ServedResource } from './discovery.ts'
import { findResource } from './find-resource.ts'

/** How long an answer of discovery is good for, and how long until a name is looked for again, in ms. */
const freshMs = 5000
const againMs = 30_000
const retryMs = 2000

/** Finds out what configured names mean on the server, without holding up anything that is certain. */
export interface Resolver {
  /**
   * Resolves with the resource as it is to be watched: at once where that is certain (the server is asked all the same, and a
   * problem reported), else when the server has it, be that after a day.
   * @returns undefined when the signal came first.
   */
  resolve(asked: WatchedResource, signal: AbortSignal): Promise<WatchedResource | undefined>
}

/** Creates a resolver. `report` hears what is wrong with a feed, in a sentence, and with nothing when it is right again. */
export function createResolver(deps: {
  client: KubeClient
  log: Logger
  report(feed: string, problem?: string): void
  clock?: Clock
}): Resolver {
  const { client, log, report, clock = systemClock } = deps
  let latest: { at: number; served: Promise<ServedResource[]> } | undefined

  function ask(signal: AbortSignal): Promise<ServedResource[]> {
    // Several names at a start need one answer.
    if (latest === undefined || clock.now() - latest.at > freshMs) {
      latest = { at: clock.now(), served: discover(client, signal) }
      latest.served.catch(() => {
        latest = undefined
      })
    }
    return latest.served
  }

  async function search(asked: WatchedResource, signal: AbortSignal): Promise<WatchedResource | undefined> {
    const feed = nameFeed(asked)
    let said: string | undefined
    const say = (problem: string) => {
      if (said !== problem) log.error({ feed }, `RELAY_RESOURCES: ${problem}`)
      said = problem
      report(feed, problem)
    }
    while (!signal.aborted) {
      let pause = retryMs
      try {
        const finding = findResource(await ask(signal), asked)
        if ('found' in finding) {
          if (said !== undefined) log.info({ feed }, 'the server has it now')
          report(feed)
          return finding.found
        }
        say(finding.problem)
        pause = againMs
      } catch (error) {
        if (signal.aborted) return undefined
        if (error instanceof DiscoveryRefused) {
          if (asked.version !== '') return { ...asked, kind: nameKind(asked) }
          say(`"${asked.resource}" needs its group and version, since discovery is not allowed (${error.message}).`)
          pause = againMs
        } else {
          log.debug({ err: error, feed }, 'discovery failed; trying on')
          if (!isSettled(asked)) report(feed, error instanceof Error ? error.message : String(error))
        }
      }
      await sleep(clock, pause, signal)
    }
    return undefined
  }

  return {
    resolve(asked, signal) {
      const found = search(asked, signal)
      return isSettled(asked) ? Promise.resolve(asked) : found
    },
  }
}
