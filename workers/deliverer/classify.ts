import type { AttemptError } from '../../shared/webhook/delivery.ts'

const byCode: Readonly<Record<string, AttemptError>> = {
  RELAY_REFUSED_ADDRESS: 'refused-address',
  RELAY_PROXY: 'connect',
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  ENODATA: 'dns',
  ESERVFAIL: 'dns',
  ECONNREFUSED: 'connect',
  EHOSTUNREACH: 'connect',
  ENETUNREACH: 'connect',
  EADDRNOTAVAIL: 'connect',
  EACCES: 'connect',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_TIMEOUT: 'timeout',
  UND_ERR_BODY_TIMEOUT: 'timeout',
  UND_ERR_HEADERS_OVERFLOW: 'protocol',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'body',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  UND_ERR_SOCKET: 'reset',
}

/** Names what went wrong before there was an answer. Codes that nobody foresaw count as a broken connection. */
export function classifyFailure(error: unknown): AttemptError {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = 'code' in cause ? String(cause.code) : ''
    const known = byCode[code]
    if (known !== undefined) return known
    if (code.startsWith('HPE_') || cause.name === 'HTTPParserError') return 'protocol'
    if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO|HOSTNAME_MISMATCH)/.test(code)) return 'tls'
    if (cause instanceof AggregateError && cause.errors.length > 0) return classifyFailure(cause.errors[0])
  }
  return 'reset'
}

/** Names what an answer's status means; undefined for success. */
export function classifyStatus(status: number): AttemptError | undefined {
  if (status >= 200 && status < 300) return undefined
  return status >= 300 && status < 400 ? 'redirect' : 'status'
}
