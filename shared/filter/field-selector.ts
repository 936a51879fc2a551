import { invalid } from '../errors.ts'
import type { EventData } from '../event.ts'

/** True for the objects that a selector picks. */
export type FieldSelector = (data: Partial<EventData>) => boolean

/** Fields by the names that Kubernetes gives them, and where events hold them. */
const fields: Readonly<Record<string, string>> = {
  'metadata.name': 'name',
  'metadata.namespace': 'namespace',
  'metadata.uid': 'uid',
  'spec.nodeName': 'node',
  'status.phase': 'phase',
  'status.reason': 'reason',
  'spec.holderIdentity': 'holder',
}

/**
 * Compiles a field selector in Kubernetes' syntax: `status.phase=Running,spec.nodeName!=node-7`. A backslash escapes a comma,
 * an equals sign or a backslash inside a value; a field that the object does not have is empty.
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
 * @throws RelayError `invalid`, with the character at which the text stops to make sense.
 */
export function compileFieldSelector(text: string, field = 'fieldSelector'): FieldSelector {
  const requirements: { name: string; value: string; isEqual: boolean }[] = []
  let at = 0
  for (const term of splitTerms(text)) {
    const match = /^\s*([^=!\s]*)\s*(==|=|!=)(.*)$/s.exec(term)
    if (match === null && term.trim() !== '') {
      throw invalid(field, `expected "=", "==" or "!=" at character ${at + term.length + 1}, after "${term.trim()}"`)
    }
    if (match !== null) {
      const [, key = '', operator, raw = ''] = match
      const name = Object.hasOwn(fields, key) ? fields[key] : undefined
      if (name === undefined) {
        throw invalid(
          field,
          `"${key}" at character ${at + term.indexOf(key) + 1} is not supported; there are ${Object.keys(fields).join(', ')}`,
        )
      }
      const value = unquote(raw.trim(), field, at + term.length - raw.length)
      requirements.push({ name, value, isEqual: operator !== '!=' })
    }
    at += term.length + 1
  }
  return (data) => requirements.every(({ name, value, isEqual }) => (read(data, name) === value) === isEqual)
}

function read(data: Partial<EventData>, name: string): string {
  const value = data[name]
  return typeof value === 'string' ? value : ''
}

/** At each comma that is not escaped. */
function splitTerms(text: string): string[] {
  const terms: string[] = []
  let start = 0
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === ',') {
      terms.push(text.slice(start, i))
      start = i + 1
    }
  }
  return [...terms, text.slice(start)]
}

function unquote(text: string, field: string, at: number): string {
  let value = ''
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? ''
    if (character === '\\') {
      const next = text[++i]
      if (next === undefined || !'\\,='.includes(next)) {
        throw invalid(field, `a backslash at character ${at + i} escapes only a comma, "=" or a backslash`)
      }
      value += next
    } else if (character === '=') {
      throw invalid(field, `an unescaped "=" in a value at character ${at + i + 1}; write \\=`)
    } else value += character
  }
  return value
}
