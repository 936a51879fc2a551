import type { KubeObject } from './kube-object.ts'
import { parseLabelSelector } from './label-selector.ts'
import type { Resource } from './resources.ts'
import { badRequest } from './status.ts'

/** What a list or a watch asks for, decided per object. */
export interface Selection {
  matches(object: KubeObject): boolean
  /** True when every object matches, so that watchers can skip looking at the state before. */
  all: boolean
}

interface Term {
  field: string
  value: string
  negated: boolean
}

function splitTerms(source: string): string[] {
  const terms: string[] = []
  let current = ''
  for (let index = 0; index < source.length; index++) {
    const char = source.charAt(index)
    if (char === '\\') {
      current += char + source.charAt(++index)
    } else if (char === ',') {
      terms.push(current)
      current = ''
    } else current += char
  }
  terms.push(current)
  return terms.filter((term) => term !== '')
}

function unescapeValue(value: string, source: string): string {
  return value.replace(/\\(.?)/g, (_all, char: string) => {
    if (char === ',' || char === '=' || char === '\\') return char
    throw badRequest(`invalid selector: '${source}'; can't understand '${value}'`)
  })
}

function splitTerm(term: string, source: string): Term {
  const found = /^(?<field>(?:[^\\=!]|\\.|!(?!=))*?)(?<operator>!=|==|=)(?<value>.*)$/s.exec(term)?.groups
  if (found === undefined) throw badRequest(`invalid selector: '${source}'; can't understand '${term}'`)
  return {
    field: found.field ?? '',
    value: unescapeValue(found.value ?? '', source),
    negated: found.operator === '!=',
  }
}

function refuseField(resource: Resource, field: string): never {
  // Core kinds register their own conversion, everything else shares the default one (apimachinery `runtime`).
  if (resource.fieldRefusal === 'core') throw badRequest(`field label not supported: ${field}`)
  throw badRequest(`"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`)
}

function readField(resource: Resource, field: string): (object: KubeObject) => string {
  if (field === 'metadata.name') return (object) => object.metadata.name ?? ''
  if (field === 'metadata.namespace') return (object) => object.metadata.namespace ?? ''
  return resource.fields[field] ?? refuseField(resource, field)
}

function parseFieldSelector(resource: Resource, source: string): (object: KubeObject) => boolean {
  const terms = splitTerms(source).map((term) => {
    const { field, value, negated } = splitTerm(term, source)
    const read = readField(resource, field)
    return (object: KubeObject) => (read(object) === value) !== negated
  })
  return (object) => terms.every((term) => term(object))
}

/** Combines namespace, label selector and field selector. @throws ApiError 400 for what cannot be parsed. */
export function parseSelection(
  resource: Resource,
  namespace: string,
  labelSelector: string,
  fieldSelector: string,
): Selection {
  const byLabels = labelSelector === '' ? undefined : parseLabelSelector(labelSelector)
  const byFields = fieldSelector === '' ? undefined : parseFieldSelector(resource, fieldSelector)
  return {
    all: namespace === '' && byLabels === undefined && byFields === undefined,
    matches: (object) =>
      (namespace === '' || object.metadata.namespace === namespace) &&
      (byLabels === undefined || byLabels(object.metadata.labels ?? {})) &&
      (byFields === undefined || byFields(object)),
  }
}
