import { badRequest, type FieldError, internal, invalid } from './status.ts'

/** The query of a list or a watch, parsed and validated. */
export interface ListOptions {
  watch: boolean
  labelSelector: string
  fieldSelector: string
  resourceVersion: string
  resourceVersionMatch: string
  sendInitialEvents: boolean | undefined
  allowWatchBookmarks: boolean
  /** Seconds; undefined when not given. */
  timeoutSeconds: number | undefined
  /** 0: no limit. */
  limit: number
  continue: string
}

/** apimachinery `Convert_Slice_string_To_bool`: present and not false is true, even when empty. */
export function isSet(value: string | null): boolean {
  return value !== null && value.toLowerCase() !== 'false' && value !== '0'
}

function readBoolean(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name)
  return value === null ? undefined : isSet(value)
}

function readInteger(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name)
  if (value === null || value === '') return undefined
  if (!/^[+-]?\d+$/.test(value)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`)
  return Number(value)
}

function forbid(detail: string, field = 'resourceVersionMatch'): FieldError {
  return { field, type: 'Forbidden', detail }
}

// Source: apimachinery `pkg/apis/meta/internalversion/validation/validation.go`.
function validateWatch(options: ListOptions): FieldError[] {
  const { resourceVersionMatch: match, sendInitialEvents } = options
  const errors: FieldError[] = []
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan') {
    errors.push(forbid('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'))
  }
  if (match === '') return errors
  if (sendInitialEvents === undefined) {
    errors.push(forbid('resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'))
  }
  if (match !== 'NotOlderThan') {
    errors.push({
      field: 'resourceVersionMatch',
      type: 'NotSupported',
      value: match,
      detail: 'supported values: "NotOlderThan"',
    })
  }
  if (options.continue !== '') errors.push(forbid('resourceVersionMatch is forbidden when continue is provided'))
  return errors
}

function validateList(options: ListOptions): FieldError[] {
  const { resourceVersionMatch: match } = options
  const errors: FieldError[] = []
  if (match !== '') {
    if (options.resourceVersion === '') {
      errors.push(forbid('resourceVersionMatch is forbidden unless resourceVersion is provided'))
    }
    if (options.continue !== '') errors.push(forbid('resourceVersionMatch is forbidden when continue is provided'))
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      errors.push({
        field: 'resourceVersionMatch',
        type: 'NotSupported',
        value: match,
        detail: 'supported values: "Exact", "NotOlderThan", ""',
      })
    }
    if (match === 'Exact' && options.resourceVersion === '0') {
      errors.push(forbid('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    }
  }
  if (options.sendInitialEvents !== undefined) {
    errors.push(forbid('sendInitialEvents is forbidden for list', 'sendInitialEvents'))
  }
  return errors
}

/** @throws ApiError 400 for what does not parse, 422 for combinations that the real server forbids. */
export function parseListOptions(query: URLSearchParams): ListOptions {
  const options: ListOptions = {
    watch: readBoolean(query, 'watch') ?? false,
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: query.get('fieldSelector') ?? '',
    resourceVersion: query.get('resourceVersion') ?? '',
    resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
    sendInitialEvents: readBoolean(query, 'sendInitialEvents'),
    allowWatchBookmarks: readBoolean(query, 'allowWatchBookmarks') ?? false,
    timeoutSeconds: readInteger(query, 'timeoutSeconds'),
    limit: Math.max(0, readInteger(query, 'limit') ?? 0),
    continue: query.get('continue') ?? '',
  }
  const errors = options.watch ? validateWatch(options) : validateList(options)
  if (errors.length > 0) throw invalid('meta.k8s.io', 'ListOptions', '', errors)
  return options
}

/** The resourceVersion as a number ("" is 0). @throws ApiError 500, which is how the real server words it too. */
export function parseResourceVersion(value: string): number {
  if (value === '') return 0
  if (/^\d+$/.test(value)) {
    if (BigInt(value) < 2n ** 64n) return Number(value)
    throw internal(
      `resourceVersion: Invalid value: ${JSON.stringify(value)}: strconv.ParseUint: parsing ${JSON.stringify(value)}: value out of range`,
    )
  }
  throw internal(
    `resourceVersion: Invalid value: ${JSON.stringify(value)}: strconv.ParseUint: parsing ${JSON.stringify(value)}: invalid syntax`,
  )
}
