import type { KubeStatus } from '../kube/object.ts'

/** Why a list or a watch did not go on, as far as the reflector's rules tell causes apart. */
export type Failure =
  /** 410, `Expired` or `Gone`: the asked history is no longer there. */
  | { kind: 'expired' }
  /** The server has not reached the asked resourceVersion, or lives in another history. */
  | { kind: 'too-large'; retryAfter?: number }
  /** 422 to a streaming list, or a server error in its place. */
  | { kind: 'unsupported' }
  /** 429 and 5xx that say when to come back, or other 5xx without saying. */
  | { kind: 'busy'; retryAfter?: number }
  | { kind: 'server' }
  | { kind: 'unauthorized' }
  /** 403, 404 and every other refusal: asking again at once is of no use, asking later may be. */
  | { kind: 'refused' }
  /** No connection, or one that broke. */
  | { kind: 'network' }
  /** Something that no API server says: an unknown event type, a frame that is no JSON, an object without resourceVersion. */
  | { kind: 'protocol' }

/** A failure with a sentence for the log and the readiness page. */
export type Described = Failure & { message: string }

/** Tells what a refusal means, from its HTTP status and what could be read of its body. */
export function classifyStatus(code: number, status: KubeStatus | undefined, retryAfter?: number): Described {
  const message = status?.message ?? `HTTP ${code}`
  const reason = status?.reason
  const wait = retryAfter ?? status?.details?.retryAfterSeconds
  const timed = wait === undefined ? {} : { retryAfter: wait }
  const isTooLarge =
    status?.details?.causes?.some((cause) => cause.reason === 'ResourceVersionTooLarge') === true ||
    message.includes('Too large resource version')
  if (code === 410 || reason === 'Expired' || reason === 'Gone') return { kind: 'expired', message }
  if (isTooLarge) return { kind: 'too-large', message, ...timed }
  if (code === 401) return { kind: 'unauthorized', message }
  if (code === 429) return { kind: 'busy', message, ...timed }
  if (code >= 500) return wait === undefined ? { kind: 'server', message } : { kind: 'busy', message, retryAfter: wait }
  if (code === 422) return { kind: 'unsupported', message }
  return { kind: 'refused', message }
}

/** Tells what the object of an ERROR event means; one that is no Status is a broken protocol. */
export function classifyErrorEvent(object: unknown): Described {
  const status = object as KubeStatus | null
  if (status?.kind !== 'Status' || typeof status.code !== 'number') {
    return { kind: 'network', message: 'an ERROR event without a Status' }
  }
  return classifyStatus(status.code, status)
}

/** Tells what a thrown connection error means. */
export function classifyError(error: unknown): Described {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  const parts = [code, message].filter((part) => typeof part === 'string' && part !== '')
  return { kind: 'network', message: parts.join(': ') || 'the connection failed' }
}
