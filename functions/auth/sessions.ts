import { isCovered } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Logger } from '../../shared/role.ts'
import type { Limits } from '../limits.ts'
import type { Authenticator, Caller, Wish } from './authenticator.ts'
import type { Logins } from './logins.ts'
import { createRepeats } from './repeats.ts'

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

/** Sessions about which the same is asked. */
interface Group {
  readonly sessions: Set<Session>
  /** When it was last certain that they may go on, in ms since 1970. */
  answeredAt: number
  /** Whether they were asked about since they were opened: what was taken back just then was told to nobody. */
  isReviewed: boolean
}

/** How often clocks are looked at, in ms; a stream outlives its credential by no more. */
const tick = 500
/**
 * How long streams go on when nobody can be asked, in ms. New requests are refused meanwhile; but if each short outage of an
 * API server ended all streams, all clients would come back to it at once.
 */
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
  const groups = new Map<string, Group>()
  const counts = new Map<string, number>()
  let timer: ReturnType<typeof setInterval> | undefined
  let reviewedAt = 0
  let isLooking = false
  let version: number | undefined
  const repeats = createRepeats(() => {
    authenticator.forget()
    askAll()
    onReview()
  })

  const expire = () => {
    const time = now().getTime()
    for (const { sessions } of groups.values()) {
      for (const session of sessions) {
        if ((session.caller.expiresAt ?? Number.POSITIVE_INFINITY) <= time) session.end('expired')
      }
    }
    if (time - reviewedAt >= limits.review) askAll()
    else for (const group of groups.values()) if (!group.isReviewed) void ask(group)
    if (!isLooking) void look()
  }

  /** Whoever logs out may do so at another process, and keys are revoked at none. */
  const look = async () => {
    isLooking = true
    try {
      const before = version
      version = await authenticator.version()
      if (before !== undefined && version !== before) {
        askAll()
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

  const askAll = () => {
    reviewedAt = now().getTime()
    for (const group of groups.values()) void ask(group)
  }

  const ask = async (group: Group) => {
    const [session] = group.sessions
    if (session === undefined) return
    group.isReviewed = true
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
  }

  /** Everything that was granted still is. */
  const isGranted = async (caller: Caller, { resource = ['*'], namespace = ['*'] }: Wish) => {
    const grants = await authenticator.grant(caller, { resource, namespace })
    const included = namespace.filter((item) => !item.startsWith('!'))
    // All namespaces but some are seen by who may see all.
    const wanted = included.length === 0 ? ['*'] : included
    return resource.every((name) => wanted.every((item) => isCovered(grants, name, item)))
  }

  const rest = () => {
    clearInterval(timer)
    timer = undefined
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
      const group = groups.get(key) ?? { sessions: new Set(), answeredAt: now().getTime(), isReviewed: false }
      groups.set(key, group)
      const session = { caller, wish, end }
      group.sessions.add(session)
      timer ??= setInterval(expire, tick)
      return () => {
        if (!group.sessions.delete(session)) return
        if (group.sessions.size === 0 && groups.get(key) === group) groups.delete(key)
        const others = (counts.get(caller.tenant) ?? 1) - 1
        if (others === 0) counts.delete(caller.tenant)
        else counts.set(caller.tenant, others)
        if (groups.size === 0) rest()
      }
    },
    review: repeats.begin,
    close() {
      rest()
      repeats.stop()
    },
  }
}
