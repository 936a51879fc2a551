/** One cause of a refusal, as in `Status.details.causes`. */
interface StatusCause {
  reason: string
  message: string
  field?: string
}

/** `metav1.Status` in the key order of the wire. */
export interface Status {
  kind: 'Status'
  apiVersion: 'v1'
  metadata: { continue?: string }
  status: 'Success' | 'Failure'
  message?: string
  reason?: string
  details?: StatusDetails
  code?: number
}

interface StatusDetails {
  name?: string
  group?: string
  kind?: string
  uid?: string
  causes?: StatusCause[]
  retryAfterSeconds?: number
}

/** The group and plural or kind that an error names. */
export interface Named {
  group: string
  plural: string
}

/** A refusal that becomes the HTTP answer (or the ERROR event of a watch) as it is. */
export class ApiError extends Error {
  readonly status: Status
  constructor(status: Status) {
    super(status.message ?? 'refused')
    this.name = 'ApiError'
    this.status = status
  }
}

function failure(code: number, reason: string, message: string, details?: StatusDetails): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === '' ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  })
}

function qualified(resource: Named): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
}

function named(resource: Named, name: string): StatusDetails {
  return {
    ...(name === '' ? {} : { name }),
    ...(resource.group === '' ? {} : { group: resource.group }),
    kind: resource.plural,
  }
}

// Wording and codes below: apimachinery `pkg/api/errors/errors.go`.

export function badRequest(message: string): ApiError {
  return failure(400, 'BadRequest', message)
}

export function unauthorized(): ApiError {
  return failure(401, 'Unauthorized', 'Unauthorized')
}

/** `why` follows the colon of "is forbidden". */
export function forbidden(resource: Named, name: string, why: string): ApiError {
  const subject = name === '' ? qualified(resource) : `${qualified(resource)} "${name}"`
  return failure(403, 'Forbidden', `${subject} is forbidden: ${why}`, named(resource, name))
}

export function forbiddenPath(user: string, verb: string, path: string): ApiError {
  return failure(403, 'Forbidden', `forbidden: User "${user}" cannot ${verb} path "${path}"`, {})
}

export function notFound(resource: Named, name: string): ApiError {
  return failure(404, 'NotFound', `${qualified(resource)} "${name}" not found`, named(resource, name))
}

export function alreadyExists(resource: Named, name: string): ApiError {
  return failure(409, 'AlreadyExists', `${qualified(resource)} "${name}" already exists`, named(resource, name))
}

export function conflict(resource: Named, name: string, why: string): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`
  return failure(409, 'Conflict', message, named(resource, name))
}

/** registry/generic/registry `OptimisticLockErrorMsg`. */
export const staleMessage =
  'the object has been modified; please apply your changes to the latest version and try again'

export function methodNotAllowed(): ApiError {
  return failure(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {})
}

export function notAcceptable(): ApiError {
  const message = 'only the following media types are accepted: application/json, application/yaml'
  return failure(406, 'NotAcceptable', message)
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`
  return failure(415, 'UnsupportedMediaType', message)
}

export function expired(message: string, continueToken?: string): ApiError {
  const error = failure(410, 'Expired', message)
  if (continueToken !== undefined) error.status.metadata.continue = continueToken
  return error
}

/** apiserver `storage/errors.go` `NewTooLargeResourceVersionError`. */
export function tooLargeResourceVersion(asked: string, current: number): ApiError {
  return failure(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  })
}

export function entityTooLarge(limit: number): ApiError {
  return failure(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${limit}`)
}

/** An error that the real server fails to classify: code 500 and no reason. */
export function internal(message: string): ApiError {
  return failure(500, '', message)
}

/** One complaint about one field, before it is worded into a 422. */
export interface FieldError {
  field: string
  type: 'Invalid' | 'Required' | 'Forbidden' | 'NotSupported' | 'Duplicate'
  /** The offending value, as Go prints it; only Invalid, NotSupported and Duplicate show it. */
  value?: unknown
  detail: string
}

const fieldErrorNames = {
  Invalid: ['FieldValueInvalid', 'Invalid value'],
  Required: ['FieldValueRequired', 'Required value'],
  Forbidden: ['FieldValueForbidden', 'Forbidden'],
  NotSupported: ['FieldValueNotSupported', 'Unsupported value'],
  Duplicate: ['FieldValueDuplicate', 'Duplicate value'],
} as const

function wordFieldError(error: FieldError): string {
  const label = fieldErrorNames[error.type][1]
  const shown =
    error.type === 'Required' || error.type === 'Forbidden' ? '' : `: ${JSON.stringify(error.value ?? null)}`
  return `${label}${shown}${error.detail === '' ? '' : `: ${error.detail}`}`
}

/** 422: one or several field errors on an object of this group and kind. */
export function invalid(group: string, kind: string, name: string, errors: readonly FieldError[]): ApiError {
  const lines = errors.map((error) => `${error.field}: ${wordFieldError(error)}`)
  const summary = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`
  const subject = group === '' ? kind : `${kind}.${group}`
  return failure(422, 'Invalid', `${subject} "${name}" is invalid: ${summary}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    kind,
    causes: errors.map((error) => ({
      reason: fieldErrorNames[error.type][0],
      message: wordFieldError(error),
      field: error.field,
    })),
  })
}

/** The answer to a delete that left nothing behind. */
export function deletedStatus(resource: Named, name: string, uid: string): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { ...named(resource, name), ...(uid === '' ? {} : { uid }) },
  }
}
