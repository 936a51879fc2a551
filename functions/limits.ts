/** What bounds a process; times in ms, sizes in bytes. */
export interface Limits {
  /** Open streams, requests that wait for events among them; one more is refused with 503. */
  maxStreams: number
  /** The same of one caller, where callers are known; one more is refused with 429. */
  streamsPerTenant: number
  /** Requests a second of one caller; more are refused with 429. */
  rate: number
  /** How often the credentials of open streams are checked again. */
  review: number
  /** How often the rights of those who own webhooks are checked again. */
  owners: number
  /** How long a stream may be silent; also bounds how old the cursor is that a client holds. */
  heartbeat: number
  /** How long a reader's socket may take no byte before the stream is cut. */
  stall: number
  /**
   * What is handed to a socket at once, and taken before more is: what a reader that stops holds unsent, beside one shared
   * buffer, and with `stall` the rate below which a reader that is behind is cut.
   */
  chunk: number
  /** How long writes wait for more, so that a busy log costs one write per reader and tick. An idle log waits for nothing. */
  coalesce: number
  /** How long the tail stays open when nobody listens. */
  linger: number
  /** JSON of the newest events kept in memory; readers further back read from Redis. */
  ring: number
  /** Within how long all streams end on shutdown. */
  drain: number
  /** The longest body of a request. */
  body: number
}

/** What a process with a few GB of memory carries. */
export const defaultLimits: Limits = {
  maxStreams: 10_000,
  streamsPerTenant: 2_000,
  rate: 1_000,
  review: 10_000,
  owners: 20_000,
  heartbeat: 15_000,
  stall: 5_000,
  chunk: 64 * 1024,
  coalesce: 5,
  linger: 30_000,
  ring: 16 * 1024 * 1024,
  drain: 1_500,
  body: 64 * 1024,
}
