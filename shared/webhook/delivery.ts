/**
 * `pending` is the one state that is not an end: the first attempt or a retry is to come. `delivered` was answered 2xx;
 * `dead` is the dead letter; `disabled` the endpoint was turned off; `skipped` it was deleted; `superseded` a newer state of
 * the same object took its place (ordering `latest`).
 */
export const deliveryStates = ['pending', 'delivered', 'dead', 'disabled', 'skipped', 'superseded'] as const

/** Ends that can be recovered: the endpoint might have taken it, had it been better or turned on. */
export const failedStates = ['dead', 'disabled'] as const

export type DeliveryState = (typeof deliveryStates)[number]

/**
 * Why an attempt failed: the name did not resolve (`dns`), no connection (`connect`), TLS (`tls`), the total deadline
 * (`timeout`), the connection broke (`reset`), a status other than 2xx and 3xx (`status`), 3xx (`redirect`), the guard
 * against private addresses (`refused-address`), an answer that is not HTTP (`protocol`), an answer that broke off inside
 * its body (`body`), or a secret that cannot be decrypted any more (`secret`).
 */
export const attemptErrors = [
  'dns',
  'connect',
  'tls',
  'timeout',
  'reset',
  'status',
  'redirect',
  'refused-address',
  'protocol',
  'body',
  'secret',
] as const

export type AttemptError = (typeof attemptErrors)[number]

/** One request to the endpoint. */
export interface Attempt {
  /** ms since 1970. */
  at: number
  /** The answer's HTTP status, where there was one. */
  status?: number
  /** From before the name was resolved to the end of the body. */
  latencyMs: number
  /** Absent: the endpoint took it. */
  error?: AttemptError
  /** What went wrong, in words. */
  detail?: string
  /** Up to 1 KiB of the answer's body, as text. */
  response?: string
}

/** Why a delivery is dead: all attempts failed, or its event left the log first. */
export type DeadReason = 'exhausted' | 'trimmed'

/** What happened to one event at one endpoint. */
export interface Delivery {
  state: DeliveryState
  /** The event's CloudEvents id. */
  event: string
  /** When the dispatcher accepted it, ms since 1970. */
  acceptedAt: number
  /** The job it came with: names the jobs of its retries as well. */
  group: string
  scope?: 'entered' | 'left'
  /** Where order is kept: the object that it is about. Names the line in which the delivery waits. */
  object?: string
  /** The event itself, as the log would have it; for the few that are in no log. */
  body?: string
  /** The event's place in the log, where it is not the delivery's own id: for what is sent again, and for what is in no log. */
  cursor?: string
  /** The delivery that this one repeats. */
  repeats?: string
  attempts: Attempt[]
  /** While pending: when the next attempt is due, ms since 1970. Absent: at once. */
  due?: number
  /** When it came to its end, ms since 1970. */
  endedAt?: number
  reason?: DeadReason
}

/** The text in front of a stored delivery by which the scripts see its state without parsing it. */
export function deliveryHeader({ state, attempts }: Pick<Delivery, 'state' | 'attempts'>): string {
  return `${state} ${attempts.length} `
}

/** Writes a delivery as it is stored, `<state> <attempts so far> <JSON>`. */
export function formatDelivery(delivery: Delivery): string {
  const { state, attempts, ...rest } = delivery
  return deliveryHeader(delivery) + JSON.stringify(attempts.length === 0 ? rest : { ...rest, attempts })
}

/** Reads a stored delivery. */
export function parseDelivery(stored: string): Delivery {
  const first = stored.indexOf(' ')
  const json = stored.slice(stored.indexOf(' ', first + 1) + 1)
  return { attempts: [], ...JSON.parse(json), state: stored.slice(0, first) as DeliveryState }
}
