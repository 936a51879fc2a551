/** What an API server, or something before it, may answer to a request instead of what was asked for. */
export const requestFaults = [
  'refused',
  'reset',
  'slow-headers',
  'no-answer',
  'too-many',
  'unavailable',
  'server-error',
  'html',
  'unauthorized',
  'forbidden',
  'not-found',
  'expired',
  'expired-event',
  'too-large',
  'quiet-close',
  'stale-replica',
  'unsupported',
  'unsupported-event',
  'ignores-streaming',
  'cut-list',
  'reset-list',
  'mid-list-expired',
  'pages-disagree',
  'ignores-limit',
] as const
export type RequestFault = (typeof requestFaults)[number]

/** What may happen to a watch that is open. */
export const watchFaults = [
  'cut',
  'close',
  'cut-frame',
  'half-open',
  'garbage',
  'unknown-type',
  'no-version',
  'table',
  'expired-frame',
  'busy-frame',
  'server-error-frame',
  'odd-error-frame',
  'duplicates',
] as const
export type WatchFault = (typeof watchFaults)[number]

/** What may happen between a process and Redis, or to Redis. */
export const logFaults = [
  'oom',
  'loading',
  'lost-answer',
  'lost-request',
  'resent',
  'late-request',
  'late-answer',
] as const
export type LogFault = (typeof logFaults)[number]

/** The kinds of requests that a watcher sends. */
export type RequestKind = 'watch' | 'streaming' | 'list' | 'probe' | 'object' | 'cluster'

const everywhere: readonly RequestKind[] = ['watch', 'streaming', 'list', 'probe', 'object', 'cluster']

/** Which requests a fault can hit. */
export function hits(fault: RequestFault, kind: RequestKind): boolean {
  switch (fault) {
    case 'expired':
    case 'expired-event':
      return kind === 'watch'
    case 'too-large':
      return kind === 'watch' || kind === 'streaming' || kind === 'list'
    case 'quiet-close':
      return kind === 'watch' || kind === 'streaming'
    case 'stale-replica':
      return kind === 'watch' || kind === 'streaming' || kind === 'list'
    case 'unsupported':
    case 'unsupported-event':
    case 'ignores-streaming':
      return kind === 'streaming'
    case 'cut-list':
    case 'reset-list':
    case 'mid-list-expired':
    case 'pages-disagree':
    case 'ignores-limit':
      return kind === 'list'
    default:
      return everywhere.includes(kind)
  }
}
