import { setTimeout as sleep } from 'node:timers/promises'
import type { Keys } from '../../shared/keys.ts'
import type { RedisClient } from '../../shared/redis.ts'
import type { Logger, Running } from '../../shared/role.ts'
import type { DeliveryJob } from '../../shared/webhook/job.ts'
import { LeadLost, lead } from './lead.ts'
import { createProgress } from './progress.ts'

export interface DispatcherDeps {
  redis: RedisClient
  /** A connection of its own, for blocking reads. */
  tail: RedisClient
  keys: Keys
  /** The cluster's name, for events about the relay itself. */
  cluster: string
  log: Logger
  /** Puts jobs into the queue and answers with their ids. Adding a job that is there already does nothing. */
  enqueue(jobs: DeliveryJob[]): Promise<string[]>
  /** Names this process among several. */
  owner: string
  /** How long a dispatcher that died keeps the others from going on, in ms. */
  leaseMs: number
  /** ms since 1970. */
  now(): number
}

const longestPause = 5000

/**
 * Starts the dispatcher: it follows the log, matches events against all enabled webhooks, and accepts what matches for
 * delivery. Of several, one leads; the others wait for its lease to end.
 */
export function startDispatcher(deps: DispatcherDeps): Running {
  const { log, owner, leaseMs } = deps
  const stopping = new AbortController()
  const { signal } = stopping
  const progress = createProgress(deps.redis, deps.keys)
  const pause = (ms: number) => sleep(ms, undefined, { signal }).catch(() => undefined)
  let said = ''
  const say = (level: 'info' | 'warn', message: string, fields: object = {}) => {
    if (said !== message) log[level](fields, message)
    said = message
  }

  const run = async () => {
    let wait = 100
    while (!signal.aborted) {
      let fence: string | undefined
      try {
        const claim = await progress.claim(owner, leaseMs)
        if (claim.held) {
          say('info', 'another dispatcher leads', { owner: claim.owner })
          await pause(Math.min(claim.msLeft + 10, 1000))
          continue
        }
        fence = claim.fence
        say('info', 'dispatching', { position: claim.position })
        wait = 100
        await lead(deps, progress, claim, signal)
      } catch (error) {
        if (signal.aborted) break
        if (error instanceof LeadLost) {
          log.info({ reason: error.message }, 'the dispatcher finds its place again')
        } else {
          say('warn', 'the dispatcher cannot go on', { error: String(error) })
          wait = Math.min(wait * 2, longestPause)
        }
        await pause(wait)
      } finally {
        if (signal.aborted && fence !== undefined) await release(fence)
      }
    }
  }
  const release = async (fence: string) => {
    await progress.release(fence).catch((error: unknown) => {
      log.debug({ error: String(error) }, 'the lease was not given up; it will run out')
    })
  }

  const ended = run()
  return {
    about: {},
    async stop() {
      stopping.abort()
      await ended
    },
  }
}
