/** Every way in which the relay can refuse or fail, and the HTTP status that says so. */
const statuses = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  not_acceptable: 406,
  conflict: 409,
  gone: 410,
  changed: 412,
  too_large: 413,
  unsupported: 415,
  unprocessable: 422,
  too_many: 429,
  unimplemented: 501,
  unavailable: 503,
} as const

export type RelayErrorCode = keyof typeof statuses

/** What a caller can read beside the message: the offending field, where history starts, when to come back. */
export interface RelayErrorDetails {
  /** The query parameter, header or JSON path at fault. */
  field?: string
  /** For `gone`: the oldest cursor that can still be read from. */
  oldest?: string
  /** For `unavailable` and `too_many`: seconds to wait. */
  retryAfter?: number
}

/** The one error that crosses module borders. Its message is for the caller and never holds secrets or internals. */
export class RelayError extends Error {
  override readonly name = 'RelayError'
  readonly code: RelayErrorCode
  readonly details: RelayErrorDetails

  constructor(code: RelayErrorCode, message: string, details: RelayErrorDetails & { cause?: unknown } = {}) {
    const { cause, ...rest } = details
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = rest
  }

  /** The HTTP status of this error. */
  get status(): (typeof statuses)[RelayErrorCode] {
    return statuses[this.code]
  }

  /** True when the same request may succeed later, unchanged. */
  get retryable(): boolean {
    return this.code === 'unavailable' || this.code === 'too_many'
  }
}

/** A caller's mistake in one named field. */
export function invalid(field: string, message: string): RelayError {
  return new RelayError('invalid', `${field}: ${message}`, { field })
}
