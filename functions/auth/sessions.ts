import { isCovered } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Logger } from '../../shared/role.ts'
import type { Limits } from '../limits.ts'
import type { Authenticator, Caller, Wish } from './authenticator.ts'
import type { Logins } from './logins.ts'

/** Watches over the credentials of open streams. */
export interface Sessions {
  /**
   * Ends a stream when its caller's credential does, or may no longer see what the stream tells. The answer forgets it.
   * @throws RelayError `too_many` when the caller has as many as one may have.
   */
  open(caller: Caller, wish: Wish, end: (why: 'expired' | 'revoked') => void): () => void
  /** Asks again for all of them, now and until the cluster's own caches must have noticed. */
  review(): void
  close(): void
}

interface Session {
  readonly caller: Caller
  readonly wish: Wish
  readonly end: (why: 'expired' | 'revoked') => void
}

/** How often clocks are looked at, in ms; a stream outlives its credential by no more. */
const tick = 500
/** When a review is repeated, in ms: authorizers of a cluster hear of a change a little later than its watchers. */
const repeats = [0, 500, 1_500, 3_000]
/** How long streams go on when nobody can be asked, in ms. */
const patience = 60_000

/** Creates the sessions of one process; it runs no timer while there are none. */
export function createSessions(deps: {
  authenticator: Authenticator
  logins: Pick<Logins, 'findEnded'>
  limits: Limits
  log: Logger
  now: () => Date
  /** Called whenever rights are asked for anew, since they may have changed. */
  onReview: () => void
}): Sessions {
  const { authenticator, logins, limits, log, now, onReview } = deps
  /** By what is asked about them: a thousand streams of one page cost one question. */
  const groups = new Map<string, { sessions: Set<Session>; answeredAt: number }>()
  const counts = new Map<string, number>()
  let timer: ReturnType<typeof setInterval> | undefined
  let reviewedAt = 0
  let isLooking = false
  let version: number | undefined
  const reviews = new Set<ReturnType<typeof setTimeout>>()

  const expire = () => {
    const time = now().getTime()
    for (const { sessions } of groups.values()) {
      for (const session of sessions) {
        if ((session.caller.expiresAt ?? Number.POSITIVE_INFINITY) <= time) session.end('expired')
      }
    }
    if (time - reviewedAt >= limits.review) void askAll()
    if (!isLooking) void look()
  }

  /** Whoever logs out may do so at another process, and keys are revoked at none. */
  const look = async () => {
    isLooking = true
    try {
      const before = version
      version = await authenticator.version()
      if (before !== undefined && version !== before) {
        void askAll()
        onReview()
      }
      const open = [...groups.values()].flatMap((group) => [...group.sessions])
      const ids = new Set(open.flatMap(({ caller }) => caller.login ?? []))
      const ended = await logins.findEnded([...ids])
      for (const { caller, end } of open) if (ended.includes(caller.login ?? '')) end('revoked')
    } catch (error) {
      log.debug({ err: error }, 'logins and keys cannot be looked at')
    } finally {
      isLooking = false
    }
  }

  const askAll = async () => {
    reviewedAt = now().getTime()
    await Promise.all(
      [...groups.values()].map(async (group) => {
        const [session] = group.sessions
        if (session === undefined) return
        const time = now().getTime()
        try {
          const { caller, wish } = session
          const isGood = (await authenticator.isValid(caller)) && (await isGranted(caller, wish))
          if (isGood) group.answeredAt = time
          else for (const { end } of group.sessions) end('revoked')
        } catch (error) {
          log.debug({ err: error }, 'a credential cannot be checked again')
          if (time - group.answeredAt > patience) for (const { end } of group.sessions) end('revoked')
        }
      }),
    )
  }

  /** Everything that was granted still is. */
  const isGranted = async (caller: Caller, { resource = ['*'], namespace = ['*'] }: Wish) => {
    const grants = await authenticator.grant(caller, { resource, namespace })
    return resource.every((name) => namespace.filter(isIncluded).every((item) => isCovered(grants, name, item)))
  }

  const stop = () => {
    clearInterval(timer)
    timer = undefined
    for (const review of reviews) clearTimeout(review)
    reviews.clear()
  }

  return {
    open(caller, wish, end) {
      if (!authenticator.isNeeded) return () => undefined
      const count = counts.get(caller.tenant) ?? 0
      if (count >= limits.streamsPerTenant) {
        const message = `${count} streams and waiting requests are open already, as many as one caller may have; close one first.`
        throw new RelayError('too_many', message, { retryAfter: 10 })
      }
      counts.set(caller.tenant, count + 1)
      const key = JSON.stringify([caller, wish])
      const group = groups.get(key) ?? { sessions: new Set<Session>(), answeredAt: now().getTime() }
      groups.set(key, group)
      const session = { caller, wish, end }
      group.sessions.add(session)
      timer ??= setInterval(expire, tick)
      return () => {
        if (!group.sessions.delete(session)) return
        if (group.sessions.size === 0 && groups.get(key) === group) groups.delete(key)
        const rest = (counts.get(caller.tenant) ?? 1) - 1
        if (rest === 0) counts.delete(caller.tenant)
        else counts.set(caller.tenant, rest)
        if (groups.size === 0) stop()
      }
    },
    review() {
      for (const delay of repeats) {
        const review = setTimeout(() => {
          reviews.delete(review)
          authenticator.forget()
          void askAll()
          onReview()
        }, delay)
        reviews.add(review)
      }
    },
    close: stop,
  }
}

function isIncluded(item: string): boolean {
  return !item.startsWith('!')
}
