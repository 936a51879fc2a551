import { notAcceptable } from './status.ts'

/** What the client wants the objects rendered as. */
export interface Rendition {
  shape: 'plain' | 'table' | 'partial'
  format: 'json' | 'yaml'
  pretty: boolean
  /** `includeObject` of a Table: what `rows[].object` holds. */
  includeObject: 'Metadata' | 'None' | 'Object'
}

function parameters(clause: string): Map<string, string> {
  const [type, ...rest] = clause.split(';').map((part) => part.trim())
  const out = new Map([['type', type ?? '']])
  for (const part of rest) {
    const at = part.indexOf('=')
    if (at > 0) out.set(part.slice(0, at), part.slice(at + 1))
  }
  return out
}

const jsonTypes = new Set(['application/json', '*/*', 'application/*', ''])
const yamlTypes = new Set(['application/yaml'])

/**
 * Reads the Accept header, clause by clause, the first acceptable one winning.
 * @throws ApiError 406 when nothing on offer is acceptable.
 */
export function negotiate(accept: string, query: URLSearchParams, userAgent: string): Rendition {
  const include = query.get('includeObject')
  const base: Pick<Rendition, 'pretty' | 'includeObject'> = {
    // apiserver `negotiation.isPrettyPrint`: asked for, or a client that people read.
    pretty: query.has('pretty')
      ? !['false', '0'].includes(query.get('pretty') ?? '')
      : /^(curl|Wget|Mozilla\/5\.0)/.test(userAgent),
    includeObject: include === 'None' || include === 'Object' ? include : 'Metadata',
  }
  for (const clause of accept.split(',')) {
    const given = parameters(clause)
    const type = given.get('type') ?? ''
    const format = jsonTypes.has(type) ? 'json' : yamlTypes.has(type) ? 'yaml' : undefined
    if (format === undefined) continue
    const as = given.get('as')
    if (as === undefined) return { ...base, shape: 'plain', format }
    if (given.get('g') !== 'meta.k8s.io' || given.get('v') !== 'v1') continue
    if (as === 'Table') return { ...base, shape: 'table', format }
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
      return { ...base, shape: 'partial', format }
  }
  throw notAcceptable()
}
